"""drop-group.py NB-REMOTE CONFIG-OPTION…: has Neutron's own code create its Port_Group for port security.

neutron-server does the same at its start, but looks for the leader of a clustered database with pauses that double
each time: without this the first port can be created only 10 to 30 seconds after the API answers.
"""
import sys

from neutron.conf.plugins.ml2.drivers.ovn import ovn_conf
from neutron.plugins.ml2.drivers.ovn.mech_driver import mech_driver
from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import impl_idl_ovn, ovsdb_monitor
from oslo_config import cfg
from ovsdbapp.backend.ovs_idl import connection

ovn_conf.register_opts()
cfg.CONF(sys.argv[2:], project="neutron")
helper = impl_idl_ovn.OvsdbNbOvnIdl.schema_helper
ovsdb_monitor._check_and_set_ssl_files("OVN_Northbound")
idl = ovsdb_monitor.BaseOvnIdl.from_server(sys.argv[1], helper)
api = impl_idl_ovn.OvsdbNbOvnIdl(connection.Connection(idl, timeout=30))
mech_driver.create_default_drop_port_group(api)
