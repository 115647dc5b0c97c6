//! Stories of the simulation, a file each, in one program: one to link, and they run beside each other.

mod addresses;
mod clusters;
mod contention;
mod document;
mod established;
mod fair;
mod guard;
mod herd;
mod intent;
mod knowledge;
mod leaders;
mod leave;
mod nb_differential;
mod neutron;
mod neutron_side;
mod properties;
mod races;
mod reservations;
mod seeds;
mod tenants;
mod vain;
