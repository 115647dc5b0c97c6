//! Typed tables of OVN_Northbound, OVN_Southbound and Open_vSwitch, generated from pinned schemas (pure)
