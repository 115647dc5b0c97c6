//! Network namespaces, links, addresses, routes (netlink) behind small types
