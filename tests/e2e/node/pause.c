// Does nothing, for as long as it lives, but take in the children that are left to it: the process 1 of the node, and of every pod's sandbox.
#include <signal.h>
#include <sys/wait.h>

int main(void) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  sigaddset(&awaited, SIGTERM);
  sigaddset(&awaited, SIGINT);
  sigprocmask(SIG_SETMASK, &awaited, 0);
  for (int got = SIGCHLD; got == SIGCHLD; sigwait(&awaited, &got))
    while (waitpid(-1, 0, WNOHANG) > 0) {
    }
  return 0;
}
