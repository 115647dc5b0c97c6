//! The replica of the northbound database, and whom a change of its rows concerns: the rows' own owners, the Subnets and
//! Vpcs on a router, and those whose name or address becomes free.

use tombolo_neutron as neutron;
use tombolo_ovsdb::{Change, ChangeSet, Replica, Row, Uuid};

use super::{Dirty, SubnetEntry, World};
use crate::nb::{self, table};
use crate::owner::{Owner, OwnerKind};

impl World {
    /// The replica of the northbound database.
    #[must_use]
    pub fn nb(&self) -> &Replica {
        &self.nb
    }

    /// The replica changed.
    pub fn apply_nb(&mut self, replica: Replica, changes: &ChangeSet, dirty: &mut Dirty) {
        let before = std::mem::replace(&mut self.nb, replica);
        self.rows_of_subnets_changed(changes, dirty);
        self.neighbors_dirty(&before, changes, dirty);
        for table in nb::OWNED {
            for (uuid, change) in changes.of_table(table) {
                self.owners_dirty(table, change, dirty);
                self.row_came_or_went(table, change, dirty);
                // A switch or router of ours that lost or regained a child concerns the child's owner.
                self.children_dirty(table, change, dirty);
                self.entries_dirty(table, uuid, change, dirty);
            }
        }
        for router in neutron::routers_touched(&self.nb, changes) {
            self.router_touched(&before, &router, dirty);
        }
        self.switch_names_changed(changes, dirty);
    }

    /// The owners of a row.
    fn owners_dirty(&self, table: &'static str, change: &Change, dirty: &mut Dirty) {
        for row in change.old.iter().chain(&change.new) {
            let Some(owner) = nb::owner_of(&self.config.cluster, row) else { continue };
            // A child that comes or goes is its own owner's business, and each pod is one.
            if !nb::only_edges(table, change) || self.is_leaving(&owner) {
                dirty.insert(owner);
            }
        }
    }

    /// A port that comes or goes takes or frees its address, a switch its Subnet's place.
    fn row_came_or_went(&mut self, table: &'static str, change: &Change, dirty: &mut Dirty) {
        let owner_of = |row: &Row| nb::owner_of(&self.config.cluster, row);
        match (&change.old, &change.new, table) {
            (None, Some(row), table::SWITCH_PORT) => self.adopt_port(row),
            (Some(row), None, table::SWITCH_PORT) if owner_of(row).is_some() || nb::is_kube_ovns(row) => {
                self.forget_borne(row.str("name").unwrap_or_default(), dirty);
            }
            // Whether a Subnet stands decides whose place it is where two overlap.
            (None, Some(row), table::SWITCH) | (Some(row), None, table::SWITCH) => {
                if let Some(owner) = owner_of(row)
                    && let Some(entry) = self.subnets().get(&owner.name)
                {
                    self.rivals_dirty(&owner.name, entry, dirty);
                }
            }
            _ => {}
        }
    }

    /// The owner's object is gone or going: what still hangs on its rows is what it waits for.
    fn is_leaving(&self, owner: &Owner) -> bool {
        self.config.leaving
            || owner.kind == OwnerKind::Subnet
                && self.subnets().get(&owner.name).is_none_or(SubnetEntry::is_terminating)
    }

    /// References to rows of ours that vanished from a parent: their owners put them back.
    fn children_dirty(&self, parent: &'static str, change: &Change, dirty: &mut Dirty) {
        let Some(old) = &change.old else { return };
        for reference in nb::edges(parent) {
            let column = reference.column;
            let Some(before) = old.get(column) else { continue };
            let after = change.new.as_ref().and_then(|row| row.get(column));
            if Some(before) == after {
                continue;
            }
            let lost = after.map_or_else(|| before.clone(), |after| before.difference(after));
            let rows = lost.uuids().filter_map(|uuid| self.nb.row(reference.table, &uuid));
            dirty.extend(rows.filter_map(|row| nb::owner_of(&self.config.cluster, row)));
        }
    }

    /// Entries of a shared row that came or went otherwise than with the row: their owners see to them.
    fn entries_dirty(&self, table: &'static str, uuid: Uuid, change: &Change, dirty: &mut Dirty) {
        let Some(old) = &change.old else { return };
        let cluster = &self.config.cluster;
        for (_, column) in nb::SHARED.into_iter().filter(|(shared, _)| *shared == table) {
            let after = change.new.as_ref().and_then(|row| row.get(column));
            for element in nb::changed_elements(old.get(column), after) {
                match element.as_uuid() {
                    Some(target) => {
                        dirty.extend(nb::owner_referred_to(&self.nb, cluster, table, column, target));
                    }
                    None => dirty.extend(nb::claimants(&self.nb, cluster, uuid, &element)),
                }
            }
        }
    }

    /// A router changed, or something that hangs on it.
    fn router_touched(&mut self, before: &Replica, router: &str, dirty: &mut Dirty) {
        if self.has_router(router) && self.vpcs().contains(router) {
            dirty.paced.insert(Owner::vpc(router));
        } else {
            dirty.insert(Owner::vpc(router));
        }
        let routes = |replica: &Replica| {
            neutron::router_named(replica, router).map(|(uuid, _)| neutron::routes(replica, uuid))
        };
        if routes(before) != routes(&self.nb) {
            // One may lie inside of a Subnet.
            dirty.extend(self.subnets_concerned(router).into_iter().map(Owner::subnet));
        }
        if self.refresh_mtu(router) {
            // Its pods have the old one in their annotations.
            for (subnet, _) in self.established_in(router) {
                let users = self.ips_of_subnet(subnet).filter_map(|ip| self.ips().get(ip));
                dirty.extend(users.map(|ip| ip.owner.clone()));
            }
        }
    }

    /// A name that was taken is free again, or the other way round.
    fn switch_names_changed(&self, changes: &ChangeSet, dirty: &mut Dirty) {
        for (_, change) in changes.of_table(table::SWITCH) {
            if change.old.is_some() && change.new.is_some() {
                continue;
            }
            let rows = change.old.iter().chain(&change.new);
            let names = rows.filter_map(|row| row.str("name"));
            dirty.extend(names.filter(|name| self.subnets().contains(name)).map(Owner::subnet));
        }
    }
}
