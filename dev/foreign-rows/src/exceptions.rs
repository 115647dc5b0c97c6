//! The reviewed list of columns of foreign rows that may change.

use tombolo_ovsdb::{Datum, Name};
use tombolo_sandbox::exceptions::about;

/// Whether our programs may add and remove references to rows of ours in this column of foreign rows.
#[must_use]
pub fn is_edge(database: &str, table: &str, column: &str) -> bool {
    about(database, table, column).any(|e| e.who == "us")
}

/// The value as it is compared between two moments; `None` when it isn't.
#[must_use]
pub fn compared(database: &str, table: Name, column: Name, value: &Datum) -> Option<Datum> {
    let mut value = value.clone();
    for exception in about(database, table, column).filter(|e| e.who != "us") {
        let key = exception.key?;
        let present = value.key(key).is_some();
        value = value.difference(&Datum::set_of_strings([key]));
        if present && exception.who == "counter" {
            value = value.union(&Datum::map_of_strings([(key, "(a number)")]));
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use tombolo_ovsdb::Schema;
    use tombolo_sandbox::exceptions::{ALL, TEXT};

    use super::*;

    #[test]
    fn each_line_is_read_and_names_what_the_schemas_have() {
        let lines = TEXT.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        assert_eq!(lines.count(), ALL.len());
        let schemas =
            [tombolo_ovn::nb::SCHEMA, tombolo_ovn::vswitch::SCHEMA].map(|text| Schema::parse(text).unwrap());
        for exception in ALL.iter() {
            let schema = schemas.iter().find(|schema| schema.name == exception.database).unwrap();
            let known = |table: &String| schema.column(table, exception.column);
            let column = schema
                .tables
                .keys()
                .filter(|t| exception.table == "*" || **t == exception.table)
                .find_map(known);
            let column = column.unwrap_or_else(|| panic!("{exception:?}"));
            assert!(exception.key.is_none() || column.ty.is_map(), "{exception:?}");
            // An edge is a set of references; nothing else can be added to by parts.
            assert!(exception.who != "us" || (column.ty.key.ref_table.is_some() && column.ty.is_composite()));
        }
    }

    #[test]
    fn what_is_compared() {
        let nb = "OVN_Northbound";
        let one = Datum::map_of_strings([("neutron:revision_number", "1"), ("a", "b")]);
        let two = Datum::map_of_strings([("neutron:revision_number", "2"), ("a", "b")]);
        let of = |value: &Datum| compared(nb, "Logical_Router", "external_ids", value);
        assert_eq!(of(&one), of(&two));
        assert_ne!(of(&one), of(&Datum::map_of_strings([("a", "b")])));
        assert_eq!(compared(nb, "NB_Global", "nb_cfg", &Datum::integer(1)), None);
        assert!(is_edge(nb, "Logical_Router", "ports") && !is_edge(nb, "Logical_Switch", "ports"));
        assert!(!is_edge("OVN_Southbound", "Logical_Router", "ports"));
    }
}
