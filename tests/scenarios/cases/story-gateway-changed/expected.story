# the gateway becomes the pod's address
  ## subnets
-net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.1, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
+net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.2, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
  ## conditions
-Subnet net2: Ready=True ReconcileLogicalSwitchSuccess
-Subnet net2: Validated=True ValidateLogicalSwitchSuccess
+Subnet net2: Ready=False InUse spec.gateway: 12.0.1.2 is the address of ubuntu.net2; choose another one, or delete its holder first
+Subnet net2: Validated=False InUse spec.gateway: 12.0.1.2 is the address of ubuntu.net2; choose another one, or delete its holder first
  ## events
+Subnet net2: Warning InUse: spec.gateway: 12.0.1.2 is the address of ubuntu.net2; choose another one, or delete its holder first
  ## warnings in the log
+subnet/net2: InUse: spec.gateway: 12.0.1.2 is the address of ubuntu.net2; choose another one, or delete its holder first
# the gateway becomes a free address, while the pod has the old one as its gateway
  ## subnets
-net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.2, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
+net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.7, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
  ## conditions
-Subnet net2: Ready=False InUse spec.gateway: 12.0.1.2 is the address of ubuntu.net2; choose another one, or delete its holder first
-Subnet net2: Validated=False InUse spec.gateway: 12.0.1.2 is the address of ubuntu.net2; choose another one, or delete its holder first
+Subnet net2: Ready=False InUse spec.gateway: 12.0.1.1 is the gateway of addresses in use (12.0.1.2 of ubuntu.net2), which would be cut off; delete their holders first
+Subnet net2: Validated=False InUse spec.gateway: 12.0.1.1 is the gateway of addresses in use (12.0.1.2 of ubuntu.net2), which would be cut off; delete their holders first
  ## events
+Subnet net2: Warning InUse: spec.gateway: 12.0.1.1 is the gateway of addresses in use (12.0.1.2 of ubuntu.net2), which would be cut off; delete their holders first
  ## warnings in the log
+subnet/net2: InUse: spec.gateway: 12.0.1.1 is the gateway of addresses in use (12.0.1.2 of ubuntu.net2), which would be cut off; delete their holders first
# it is put back
  ## subnets
-net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.7, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
+net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.1, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
  ## conditions
-Subnet net2: Ready=False InUse spec.gateway: 12.0.1.1 is the gateway of addresses in use (12.0.1.2 of ubuntu.net2), which would be cut off; delete their holders first
-Subnet net2: Validated=False InUse spec.gateway: 12.0.1.1 is the gateway of addresses in use (12.0.1.2 of ubuntu.net2), which would be cut off; delete their holders first
+Subnet net2: Ready=True ReconcileLogicalSwitchSuccess
+Subnet net2: Validated=True ValidateLogicalSwitchSuccess
# the pod is deleted
  ## ovn-nbctl show
  switch (net2)
-    port ubuntu.net2
-        addresses: ["<MAC 4> 12.0.1.2"]
  ## rows beside those of an empty cluster
  Logical_Switch net2
-  ports: <net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93>, <ubuntu.net2>
+  ports: <net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93>
-Logical_Switch_Port ubuntu.net2
-  addresses: "<MAC 4> 12.0.1.2"
-  external_ids: ls=net2 pod=net2/ubuntu tombolo.io/owner=pod/net2/ubuntu tombolo.io/parent=<net2>
-  port_security: "<MAC 4> 12.0.1.2"
  ## subnets
-net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.1, without ["12.0.1.1"]; v4 free 12.0.1.3-12.0.1.254, used 12.0.1.2; v6 free -, used -
+net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.1, without ["12.0.1.1"]; v4 free 12.0.1.2-12.0.1.254, used -; v6 free -, used -
  ## ips
-ubuntu.net2: 12.0.1.2 <MAC 4> in net2 on ty-c3-medium-x86-02
  ## annotations
-Pod net2/ubuntu: ovn.kubernetes.io/allocated=true
-Pod net2/ubuntu: ovn.kubernetes.io/cidr=12.0.1.0/24
-Pod net2/ubuntu: ovn.kubernetes.io/gateway=12.0.1.1
-Pod net2/ubuntu: ovn.kubernetes.io/ip_address=12.0.1.2
-Pod net2/ubuntu: ovn.kubernetes.io/logical_router=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
-Pod net2/ubuntu: ovn.kubernetes.io/logical_switch=net2
-Pod net2/ubuntu: ovn.kubernetes.io/mac_address=<MAC 4>
-Pod net2/ubuntu: ovn.kubernetes.io/pod_nic_type=veth-pair
-Pod net2/ubuntu: ovn.kubernetes.io/routed=true
-Pod net2/ubuntu: tombolo.io/mtu=1442
-Pod net2/ubuntu: tombolo.io/pod-uid=cb3aa139-b94c-59f0-bf8b-018889fcd4e9
# nobody uses the gateway, and it becomes the free address
  ## ovn-nbctl show
  router (neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93) (aka router0)
-        networks: ["12.0.1.1/24"]
+        networks: ["12.0.1.7/24"]
  ## rows beside those of an empty cluster
  Logical_Router_Port neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
-  networks: 12.0.1.1/24
+  networks: 12.0.1.7/24
  ## subnets
-net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.1, without ["12.0.1.1"]; v4 free 12.0.1.2-12.0.1.254, used -; v6 free -, used -
+net2: vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, 12.0.1.0/24, gateway 12.0.1.7, without ["12.0.1.1","12.0.1.7"]; v4 free 12.0.1.2-12.0.1.6,12.0.1.8-12.0.1.254, used -; v6 free -, used -
  ## annotations
-Namespace net2: ovn.kubernetes.io/exclude_ips=12.0.1.1
+Namespace net2: ovn.kubernetes.io/exclude_ips=12.0.1.1,12.0.1.7
