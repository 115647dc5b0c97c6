# a second router is made in OpenStack
  ## vpcs: NAME STANDBY SUBNETS
+neutron-11111111-2222-4333-8444-555555555555 true []
  ## conditions
+Vpc neutron-11111111-2222-4333-8444-555555555555: Ready=True RouterFound
+Vpc neutron-11111111-2222-4333-8444-555555555555: Validated=True ValidateVpcSuccess
# its Vpc admits the namespace
  nothing changes
# the Subnet asks for it
  ## ovn-nbctl show
  switch (net2)
-    port net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
+    port net2-neutron-11111111-2222-4333-8444-555555555555
-        router-port: neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
+        router-port: neutron-11111111-2222-4333-8444-555555555555-net2
-router (neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93) (aka router0)
-    port neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
+router (neutron-11111111-2222-4333-8444-555555555555) (aka router1)
+    port neutron-11111111-2222-4333-8444-555555555555-net2
  ## rows beside those of an empty cluster
-Logical_Router_Port neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
-  external_ids: lr=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 ls=net2 tombolo.io/owner=subnet/net2 tombolo.io/parent=<neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93>
+Logical_Router_Port neutron-11111111-2222-4333-8444-555555555555-net2
+  external_ids: lr=neutron-11111111-2222-4333-8444-555555555555 ls=net2 tombolo.io/owner=subnet/net2 tombolo.io/parent=<neutron-11111111-2222-4333-8444-555555555555>
  Logical_Switch net2
-  ports: <net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93>, <ubuntu.net2>
-Logical_Switch_Port net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
+  ports: <net2-neutron-11111111-2222-4333-8444-555555555555>, <ubuntu.net2>
+Logical_Switch_Port net2-neutron-11111111-2222-4333-8444-555555555555
-  external_ids: lr=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 ls=net2 tombolo.io/owner=subnet/net2 tombolo.io/parent=<net2>
-  options: router-port=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
+  external_ids: lr=neutron-11111111-2222-4333-8444-555555555555 ls=net2 tombolo.io/owner=subnet/net2 tombolo.io/parent=<net2>
+  options: router-port=neutron-11111111-2222-4333-8444-555555555555-net2
  ## vpcs: NAME STANDBY SUBNETS
-neutron-11111111-2222-4333-8444-555555555555 true []
-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f"]
+neutron-11111111-2222-4333-8444-555555555555 true ["net2"]
+neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["neutron-cd59e36a-37db-4c27-b709-d35379a7920f"]
  ## subnets
-net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.1, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
+net2: vpc neutron-11111111-2222-4333-8444-555555555555, 12.0.1.0/24, gateway 12.0.1.1, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
  ## annotations
-Pod net2/ubuntu: ovn.kubernetes.io/logical_router=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
+Pod net2/ubuntu: ovn.kubernetes.io/logical_router=neutron-11111111-2222-4333-8444-555555555555
# the second router is deleted under it
  ## ovn-nbctl show
  switch (net2)
-    port net2-neutron-11111111-2222-4333-8444-555555555555
-        type: router
-        addresses: ["<MAC 3>"]
-        router-port: neutron-11111111-2222-4333-8444-555555555555-net2
-router (neutron-11111111-2222-4333-8444-555555555555) (aka router1)
-    port neutron-11111111-2222-4333-8444-555555555555-net2
-        mac: "<MAC 3>"
-        networks: ["12.0.1.1/24"]
  ## rows beside those of an empty cluster
-Logical_Router_Port neutron-11111111-2222-4333-8444-555555555555-net2
-  external_ids: lr=neutron-11111111-2222-4333-8444-555555555555 ls=net2 tombolo.io/owner=subnet/net2 tombolo.io/parent=<neutron-11111111-2222-4333-8444-555555555555>
-  mac: <MAC 3>
-  networks: 12.0.1.1/24
  Logical_Switch net2
-  ports: <net2-neutron-11111111-2222-4333-8444-555555555555>, <ubuntu.net2>
-Logical_Switch_Port net2-neutron-11111111-2222-4333-8444-555555555555
-  addresses: <MAC 3>
-  external_ids: lr=neutron-11111111-2222-4333-8444-555555555555 ls=net2 tombolo.io/owner=subnet/net2 tombolo.io/parent=<net2>
-  options: router-port=neutron-11111111-2222-4333-8444-555555555555-net2
-  type: router
+  ports: <ubuntu.net2>
  ## vpcs: NAME STANDBY SUBNETS
-neutron-11111111-2222-4333-8444-555555555555 true ["net2"]
+neutron-11111111-2222-4333-8444-555555555555 false []
  ## conditions
-Subnet net2: Ready=True ReconcileLogicalSwitchSuccess
-Subnet net2: Validated=True ValidateLogicalSwitchSuccess
+Subnet net2: Ready=False VpcNotReady spec.vpc: the router of Vpc neutron-11111111-2222-4333-8444-555555555555 is not in OpenStack (any more); set spec.vpc to another one
+Subnet net2: Validated=False VpcNotReady spec.vpc: the router of Vpc neutron-11111111-2222-4333-8444-555555555555 is not in OpenStack (any more); set spec.vpc to another one
-Vpc neutron-11111111-2222-4333-8444-555555555555: Ready=True RouterFound
+Vpc neutron-11111111-2222-4333-8444-555555555555: Ready=False RouterNotFound there is no such router in OVN (any more); re-home the Subnets to another Vpc by spec.vpc, or delete this Vpc. If OpenStack still has the router, `neutron-ovn-db-sync-util --ovn-neutron_sync_mode=repair` brings it back
  ## events
+Subnet net2: Warning VpcNotReady: spec.vpc: the router of Vpc neutron-11111111-2222-4333-8444-555555555555 is not in OpenStack (any more); set spec.vpc to another one
+Vpc neutron-11111111-2222-4333-8444-555555555555: Warning RouterNotFound: there is no such router in OVN (any more); re-home the Subnets to another Vpc by spec.vpc, or delete this Vpc. If OpenStack still has the router, `neutron-ovn-db-sync-util --ovn-neutron_sync_mode=repair` brings it back
  ## warnings in the log
+subnet/net2: VpcNotReady: spec.vpc: the router of Vpc neutron-11111111-2222-4333-8444-555555555555 is not in OpenStack (any more); set spec.vpc to another one
+vpc/neutron-11111111-2222-4333-8444-555555555555: RouterNotFound: there is no such router in OVN (any more); re-home the Subnets to another Vpc by spec.vpc, or delete this Vpc. If OpenStack still has the router, `neutron-ovn-db-sync-util --ovn-neutron_sync_mode=repair` brings it back
# the Subnet is put back
  ## ovn-nbctl show
  switch (net2)
+    port net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
+        type: router
+        addresses: ["<MAC 3>"]
+        router-port: neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
+router (neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93) (aka router0)
+    port neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
+        mac: "<MAC 3>"
+        networks: ["12.0.1.1/24"]
  ## rows beside those of an empty cluster
+Logical_Router_Port neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
+  external_ids: lr=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 ls=net2 tombolo.io/owner=subnet/net2 tombolo.io/parent=<neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93>
+  mac: <MAC 3>
+  networks: 12.0.1.1/24
  Logical_Switch net2
-  ports: <ubuntu.net2>
+  ports: <net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93>, <ubuntu.net2>
+Logical_Switch_Port net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
+  addresses: <MAC 3>
+  external_ids: lr=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 ls=net2 tombolo.io/owner=subnet/net2 tombolo.io/parent=<net2>
+  options: router-port=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
+  type: router
  ## vpcs: NAME STANDBY SUBNETS
-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["neutron-cd59e36a-37db-4c27-b709-d35379a7920f"]
+neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f"]
  ## subnets
-net2: vpc neutron-11111111-2222-4333-8444-555555555555, 12.0.1.0/24, gateway 12.0.1.1, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
+net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.1, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
  ## conditions
-Subnet net2: Ready=False VpcNotReady spec.vpc: the router of Vpc neutron-11111111-2222-4333-8444-555555555555 is not in OpenStack (any more); set spec.vpc to another one
-Subnet net2: Validated=False VpcNotReady spec.vpc: the router of Vpc neutron-11111111-2222-4333-8444-555555555555 is not in OpenStack (any more); set spec.vpc to another one
+Subnet net2: Ready=True ReconcileLogicalSwitchSuccess
+Subnet net2: Validated=True ValidateLogicalSwitchSuccess
  ## annotations
-Pod net2/ubuntu: ovn.kubernetes.io/logical_router=neutron-11111111-2222-4333-8444-555555555555
+Pod net2/ubuntu: ovn.kubernetes.io/logical_router=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
