//! OVSDB client: wire, replica, sans-IO session, tokio driver (RFC 7047, ovsdb-server(7))
