#!/bin/sh
# Compares the totals of each case with what they should be.
failed=0
for csv in cases/*.csv; do
  if awk -f totals.awk "$csv" | diff "${csv%.csv}.want" - > /tmp/difference 2>&1; then
    echo "ok    $csv"
  else
    echo "FAIL  $csv"
    cat /tmp/difference
    failed=1
  fi
done
[ "$failed" = 0 ] && echo "all totals are right"
exit "$failed"
