# the router is renamed, and gets a network with a smaller MTU
  ## ovn-nbctl show
-router (neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93) (aka router0)
+router (neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93) (aka renamed)
  ## vpcs: NAME STANDBY SUBNETS
-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f"]
+neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f","neutron-small"]
  ## annotations
-Pod net2/ubuntu: tombolo.io/mtu=1442
+Pod net2/ubuntu: tombolo.io/mtu=1300
# it gets an external gateway, whose MTU is no pod's concern
  ## vpcs: NAME STANDBY SUBNETS
-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f","neutron-small"]
+neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f","neutron-external","neutron-small"]
# the controller starts again
  ## rows beside those of an empty cluster
+Address_Set tombolo.epoch.c1
+  external_ids: tombolo.io/epoch=2 tombolo.io/owner=cluster/
