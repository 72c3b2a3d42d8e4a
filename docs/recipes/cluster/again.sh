#!/bin/bash
# again.sh COMMAND: starts it again until it is done (0) or refused (2), at most 50 times. For machines without a scheduler.
for start in $(seq 50); do
  "$@" && exit 0
  code=$?
  echo "again.sh: start $start ended with $code" >&2
  [ $code = 2 ] && exit 2
  [ $code = 75 ] || sleep "${WAIT:-10}"  # 75: stopped after saving; else a fault, or the machine was lost
done
exit 1
