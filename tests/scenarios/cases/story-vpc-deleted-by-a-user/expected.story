# a user deletes the Vpc
  ## conditions
-Subnet net2: Ready=True ReconcileLogicalSwitchSuccess
-Subnet net2: Validated=True ValidateLogicalSwitchSuccess
+Subnet net2: Ready=False NamespaceNotInVpc spec.namespaces: namespace net2 isn't in spec.namespaces of Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93; add it there first
+Subnet net2: Validated=False NamespaceNotInVpc spec.namespaces: namespace net2 isn't in spec.namespaces of Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93; add it there first
  ## events
+Namespace net2: Warning NamespaceNotInVpc: Subnet net2 is on Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, which doesn't have namespace net2 in its spec.namespaces: no pod of the namespace is let in until it is there
+Subnet net2: Warning NamespaceNotInVpc: spec.namespaces: namespace net2 isn't in spec.namespaces of Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93; add it there first
+Subnet net2: Warning UnknownVpc: spec.vpc: there is no Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93; see `kubectl get vpc` for those that exist
  ## warnings in the log
+namespace/net2: NamespaceNotInVpc: Subnet net2 is on Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93, which doesn't have namespace net2 in its spec.namespaces: no pod of the namespace is let in until it is there
+subnet/net2: NamespaceNotInVpc: spec.namespaces: namespace net2 isn't in spec.namespaces of Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93; add it there first
+subnet/net2: UnknownVpc: spec.vpc: there is no Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93; see `kubectl get vpc` for those that exist
# the user admits the namespace again
  ## conditions
-Subnet net2: Ready=False NamespaceNotInVpc spec.namespaces: namespace net2 isn't in spec.namespaces of Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93; add it there first
-Subnet net2: Validated=False NamespaceNotInVpc spec.namespaces: namespace net2 isn't in spec.namespaces of Vpc neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93; add it there first
+Subnet net2: Ready=True ReconcileLogicalSwitchSuccess
+Subnet net2: Validated=True ValidateLogicalSwitchSuccess
