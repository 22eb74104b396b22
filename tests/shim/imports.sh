#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# imports.sh PROGRAM NAME...: fails unless the program imports every name.
program=$1
shift
status=0
for name; do
    nm -D --undefined-only "$program" | grep -q " $name\(@\|\$\)" || { echo "$program does not import $name"; status=1; }
done
exit $status
