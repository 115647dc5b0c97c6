# a network of Neutron's that covers the Subnet is attached to the router
  ## vpcs: NAME STANDBY SUBNETS
-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f"]
+neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f","neutron-late"]
  ## conditions
-Subnet net2: Ready=True ReconcileLogicalSwitchSuccess
-Subnet net2: Validated=True ValidateLogicalSwitchSuccess
+Subnet net2: Ready=False CidrConflict spec.cidrBlock: 12.0.1.0/24 overlaps 12.0.0.0/16 of Neutron's network "late" on the same router; choose another network
+Subnet net2: Validated=False CidrConflict spec.cidrBlock: 12.0.1.0/24 overlaps 12.0.0.0/16 of Neutron's network "late" on the same router; choose another network
  ## events
+Subnet net2: Warning CidrConflict: spec.cidrBlock: 12.0.1.0/24 overlaps 12.0.0.0/16 of Neutron's network "late" on the same router; choose another network
  ## warnings in the log
+subnet/net2: CidrConflict: spec.cidrBlock: 12.0.1.0/24 overlaps 12.0.0.0/16 of Neutron's network "late" on the same router; choose another network
# it is detached again
  ## vpcs: NAME STANDBY SUBNETS
-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f","neutron-late"]
+neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 true ["net2","neutron-cd59e36a-37db-4c27-b709-d35379a7920f"]
  ## conditions
-Subnet net2: Ready=False CidrConflict spec.cidrBlock: 12.0.1.0/24 overlaps 12.0.0.0/16 of Neutron's network "late" on the same router; choose another network
-Subnet net2: Validated=False CidrConflict spec.cidrBlock: 12.0.1.0/24 overlaps 12.0.0.0/16 of Neutron's network "late" on the same router; choose another network
+Subnet net2: Ready=True ReconcileLogicalSwitchSuccess
+Subnet net2: Validated=True ValidateLogicalSwitchSuccess
