//! What Neutron's rows in OVN mean (pure)
