/* main.c - the program plait. Not the commands: api/cli has the table. */
#include "api/cli/command.h"
#include "service/expr/jq_pool.h"

#include <signal.h>

int main(int argc, char **argv)
{
    jq_worker_main_if_asked(argc, argv); /* a worker is this program too, and stays in there */
    signal(SIGPIPE, SIG_IGN); /* a peer that leaves is an error code, not the end of the process */
    signal(SIGXFSZ, SIG_IGN); /* so is a file at its size limit: a full disk, told as one */
    return cli_main(argc, argv);
}
