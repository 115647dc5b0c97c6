{{/*
What the user wants, by the names of files/values.yaml, whichever spelling was used. YAML; to be read with fromYaml.
Fails, with a sentence, where values contradict each other or ask for what isn't served.
*/}}
{{- define "tombolo.values" -}}
{{- $table := .Files.Get "files/values.yaml" | fromYaml -}}
{{- $out := dict -}}
{{- range $entry := $table.served -}}
  {{- $set := list -}}
  {{- range $path := $entry.paths -}}
    {{- $at := include "tombolo.at" (list $.Values $path) | fromYaml -}}
    {{- if $at.set -}}{{- $set = append $set (dict "path" $path "value" $at.value) -}}{{- end -}}
  {{- end -}}
  {{- $value := $entry.default -}}
  {{- if $set -}}
    {{- $first := first $set -}}
    {{- $value = $first.value -}}
    {{- range $other := rest $set -}}
      {{- if ne (toJson $other.value) (toJson $first.value) -}}
        {{- fail (printf "\n\n%s is %s and %s is %s: they are two spellings of one value; set one of them" $first.path (toJson $first.value) $other.path (toJson $other.value)) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $_ := set $out $entry.name $value -}}
{{- end -}}
{{- range $entry := $table.unserved -}}
  {{- if hasKey $entry "only" -}}
    {{- range $path := $entry.paths -}}
      {{- $at := include "tombolo.at" (list $.Values $path) | fromYaml -}}
      {{- if and $at.set (not (has $at.value $entry.only)) -}}
        {{- fail (printf "\n\n%s=%v isn't served. %s Leave the value out, or write %v" $path $at.value $entry.why (first $entry.only)) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- include "tombolo.families" $out -}}
{{- include "tombolo.databases" $out -}}
{{- include "tombolo.apart" $out -}}
{{- $out | toYaml -}}
{{- end -}}

{{/* Fails where networks overlap, or hold a member's address: nothing would lead to one of the two. */}}
{{- define "tombolo.apart" -}}
{{- $v := . -}}
{{- $all := list -}}
{{- range $of := list (list "pods" $v.podCidr) (list "Services" $v.serviceCidr) (list "nodes (join)" $v.joinCidr) -}}
  {{- range $cidr := splitList "," (index $of 1) -}}
    {{- $range := include "tombolo.range" (trim $cidr) | fromYaml -}}
    {{- if $range.end -}}{{- $all = append $all (dict "what" (index $of 0) "cidr" $cidr "range" $range) -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- range $at, $one := $all -}}
  {{- range $other := slice $all (add1 $at) -}}
    {{- if and (lt $one.range.start $other.range.end) (lt $other.range.start $one.range.end) -}}
      {{- fail (printf "\n\nthe networks of %s (%s) and of %s (%s) overlap; choose another one" $one.what $one.cidr $other.what $other.cidr) -}}
    {{- end -}}
  {{- end -}}
  {{- range $node := $v.masterNodes | default list -}}
    {{- $address := include "tombolo.range" (printf "%s/32" $node) | fromYaml -}}
    {{- if and $address.end (le $one.range.start $address.start) (lt $address.start $one.range.end) -}}
      {{- fail (printf "\n\nthe network of %s (%s) holds the address %s of masterNodes; choose another network" $one.what $one.cidr $node) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* The first number of an IPv4 network and the first after it. Empty for IPv6 and for what is none: the controller judges those. */}}
{{- define "tombolo.range" -}}
{{- if regexMatch "^[0-9]{1,3}([.][0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])$" . -}}
  {{- $parts := splitList "/" . -}}
  {{- $address := 0 -}}
  {{- range $byte := splitList "." (first $parts) -}}{{- $address = add (mul $address 256) (int $byte) -}}{{- end -}}
  {{- $size := 1 -}}
  {{- range until (int (sub 32 (int (last $parts)))) -}}{{- $size = mul $size 2 -}}{{- end -}}
  {{- $start := mul (div $address $size) $size -}}
  {{- dict "start" $start "end" (add $start $size) | toYaml -}}
{{- end -}}
{{- end -}}

{{/* The value at a path of dots: `set` says whether there is one. */}}
{{- define "tombolo.at" -}}
{{- $node := index . 0 -}}
{{- $set := true -}}
{{- range $key := splitList "." (index . 1) -}}
  {{- if and $set (kindIs "map" $node) (hasKey $node $key) -}}
    {{- $node = index $node $key -}}
  {{- else -}}
    {{- $set = false -}}
  {{- end -}}
{{- end -}}
{{- if kindIs "invalid" $node -}}{{- $set = false -}}{{- end -}}
{{- if $set -}}{{- dict "set" true "value" $node | toYaml -}}{{- else -}}{{- dict "set" false | toYaml -}}{{- end -}}
{{- end -}}

{{/* Adds podCidr, podGateway, serviceCidr and joinCidr: one network, or "v4,v6"; and in the same way the pinger's targets. */}}
{{- define "tombolo.families" -}}
{{- $v := . -}}
{{- $stack := index (dict "IPv4" "4" "ipv4" "4" "IPv6" "6" "ipv6" "6" "Dual" "dual" "dual_stack" "dual") $v.stack -}}
{{- range $name := list "podCidr" "podGateway" "serviceCidr" "joinCidr" "pingerExternal" "pingerDomain" -}}
  {{- $four := index $v (printf "%s4" $name) -}}
  {{- $six := index $v (printf "%s6" $name) -}}
  {{- $both := index $v (printf "%sDual" $name) | default (compact (list $four $six) | join ",") -}}
  {{- $_ := set $v $name (index (dict "4" $four "6" $six "dual" $both) $stack) -}}
{{- end -}}
{{- end -}}

{{/* Adds nb and sb: the databases' members as the programs take them. */}}
{{- define "tombolo.databases" -}}
{{- $v := . -}}
{{- $method := ternary "ssl" "tcp" $v.ssl -}}
{{- if eq $v.ovnMode "central" -}}{{- include "tombolo.central" $v -}}{{- end -}}
{{- range $db := list (dict "name" "nb" "list" $v.ovnNb "host" $v.ovnNbHost "port" $v.ovnNbPort "value" "ovn.nb" "what" "northbound") (dict "name" "sb" "list" $v.ovnSb "host" $v.ovnSbHost "port" $v.ovnSbPort "value" "ovn.sb" "what" "southbound") -}}
  {{- if and $db.list $db.host -}}
    {{- fail (printf "\n\n%s and externalOvnCentral.%sEndpoint both name the %s database; keep %s, which takes all members" $db.value $db.name $db.what $db.value) -}}
  {{- end -}}
  {{- $given := $db.list | default (compact (list $db.host)) -}}
  {{- if not $given -}}
    {{- fail (printf "\n\nno %s database: list its members, for example --set '%s={IP1,IP2,IP3}'; they are those to which Neutron and the hosts' ovn-controllers connect" $db.what $db.value) -}}
  {{- end -}}
  {{- $members := list -}}
  {{- range $one := $given -}}
    {{- $text := toString $one | trim -}}
    {{- if not (regexMatch "^((tcp|ssl):)?(\\[[0-9A-Fa-f:.]+\\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|[0-9.]+)(:[0-9]+)?$" $text) -}}
      {{- fail (printf "\n\n%s has %q; write IP, IP:PORT, tcp:IP:PORT or ssl:IP:PORT, an IPv6 address with a port in brackets, one member an element" $db.value $text) -}}
    {{- end -}}
    {{- if regexMatch "^(tcp|ssl):" $text -}}
      {{- if ne (substr 0 3 $text) $method -}}
        {{- fail (printf "\n\n%s has %s, but networking.enableSsl is %v; change one of them" $db.value $text $v.ssl) -}}
      {{- end -}}
      {{- $text = substr 4 -1 $text -}}
    {{- end -}}
    {{- if regexMatch "^[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:" $text -}}{{- $text = printf "[%s]" $text -}}{{- end -}}
    {{- if not (regexMatch "(^[0-9.]+|\\]):[0-9]+$" $text) -}}{{- $text = printf "%s:%d" $text (int $db.port) -}}{{- end -}}
    {{- $members = append $members (printf "%s:%s" $method $text) -}}
  {{- end -}}
  {{- if ne (len $members) (len (uniq $members)) -}}
    {{- fail (printf "\n\n%s names a member twice: %s" $db.value (join "," $members)) -}}
  {{- end -}}
  {{- $_ := set $v $db.name (join "," $members) -}}
{{- end -}}
{{- end -}}

{{/* With OVN as pods: checks masterNodes, and makes them the members of both databases. */}}
{{- define "tombolo.central" -}}
{{- $v := . -}}
{{- range $name, $given := dict "ovn.nb" $v.ovnNb "ovn.sb" $v.ovnSb "externalOvnCentral.nbEndpoint" $v.ovnNbHost "externalOvnCentral.sbEndpoint" $v.ovnSbHost -}}
  {{- if $given -}}
    {{- fail (printf "\n\novn.mode is central, but %s names a database that runs elsewhere; leave it out, or set ovn.mode=existing" $name) -}}
  {{- end -}}
{{- end -}}
{{- if and $v.masterNodes $v.masterNodesText -}}
  {{- fail "\n\nmasterNodes and MASTER_NODES are two spellings of one value; set one of them" -}}
{{- end -}}
{{- $nodes := $v.masterNodes | default (compact (splitList "," (nospace $v.masterNodesText))) -}}
{{- if not $nodes -}}
  {{- fail "\n\nno member of OVN's databases: with ovn.mode=central list the addresses of the nodes that run them, for example --set 'masterNodes={IP1,IP2,IP3}', and label these nodes kube-ovn/role=master" -}}
{{- end -}}
{{- range $node := $nodes -}}
  {{- if not (regexMatch "^([0-9]+[.][0-9]+[.][0-9]+[.][0-9]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$" $node) -}}
    {{- fail (printf "\n\nmasterNodes has %q, which is no address; write the node's InternalIP" $node) -}}
  {{- end -}}
{{- end -}}
{{- if ne (len $nodes) (len (uniq $nodes)) -}}
  {{- fail (printf "\n\nmasterNodes has an address twice: %s" (join ", " $nodes)) -}}
{{- end -}}
{{- if not (has (len $nodes) (list 1 3 5)) -}}
  {{- fail (printf "\n\nmasterNodes has %d addresses: have 1, 3 or 5, since an even number tolerates no more failures than one less, and more than 5 make each write slow" (len $nodes)) -}}
{{- end -}}
{{- $_ := set $v "masterNodes" $nodes -}}
{{- $_ := set $v "ovnNb" $nodes -}}
{{- $_ := set $v "ovnSb" $nodes -}}
{{- $_ := set $v "ovnNbPort" 6641 -}}
{{- $_ := set $v "ovnSbPort" 6642 -}}
{{- if $v.masterLabelText -}}
  {{- $pair := splitn "=" 2 $v.masterLabelText -}}
  {{- $_ := set $v "masterLabels" (dict $pair._0 ($pair._1 | default "")) -}}
{{- end -}}
{{- end -}}
