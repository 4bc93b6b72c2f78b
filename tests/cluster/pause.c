/* Does nothing until it is told to stop, and buries the dead: the first process of every pod's
 * sandbox, and of the namespaces that the whole cluster lives in. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    for (;;) {
        int signal;
        if (sigwait(&signals, &signal) != 0)
            continue;
        if (signal != SIGCHLD)
            return 0;
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
}
