# Prints the total of each account: lines are account,amount,kind.
BEGIN { FS = "," }
NF == 3 { total[$1] += $2 }
END { for (a in total) printf "%s %.2f\n", a, total[a] | "sort" }
