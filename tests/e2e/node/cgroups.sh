#!/usr/bin/env bash
# Prints where this process is in each cgroup v1 hierarchy, a line each: the hierarchy's controllers, and the folder.
#
#   cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct/user.slice
#   name=systemd /sys/fs/cgroup/systemd/user.slice
#
# Of what is mounted, only what can be seen from here counts: in a container a mount shows a part of the hierarchy.
set -euo pipefail

while IFS=: read -r _ controllers path; do
  [ -n "$controllers" ] || continue # cgroup v2's line
  while read -r _ _ _ root mount _ rest; do
    read -r kind _ options <<<"${rest#*- }"
    [ "$kind" = cgroup ] || continue
    # All of the line's controllers are among the mount's options, in an order of their own.
    missing=
    for controller in ${controllers//,/ }; do
      case ",$options," in *,"$controller",*) ;; *) missing=$controller ;; esac
    done
    [ -z "$missing" ] || continue
    shown=${root%/}
    below=${path#"$shown"}
    [ "$path" = "$shown$below" ] || continue
    folder=$mount/${below#/}
    [ -d "$folder" ] || continue
    printf '%s %s\n' "$controllers" "${folder%/}"
    break
  done </proc/self/mountinfo
done </proc/self/cgroup
