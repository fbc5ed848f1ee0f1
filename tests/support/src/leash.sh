# Runs a program that can't outlive the one who started it.
#
#   sh -c "$(cat leash.sh)" leash LOG PROGRAM [ARGUMENT]…
#
# Standard input is the leash: the starter holds the other end of the pipe and never writes. However the starter ends, the pipe
# closes, and the program is killed. The program's pid is the first and only line on standard output; what the program prints goes
# to LOG; its exit code (128 + n after signal n) is this shell's.
log=$1
shift
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
program=$!
(
  read -r _ <&3
  kill -KILL "$program" 2>/dev/null
) >/dev/null 2>&1 &
leash=$!
exec 3<&-
echo "$program"
exec >&-
wait "$program"
code=$?
kill -KILL "$leash" 2>/dev/null
exit "$code"
