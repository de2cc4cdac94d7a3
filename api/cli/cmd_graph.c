/* cmd_graph.c - `plait graph FILE`: the steps as a picture in text, on stdout. */
#include "api/cli/command.h"
#include "api/cli/workflow_file.h"

#include "base/limits.h"

static const struct {
    const char *name;
    enum graph_format format;
} formats[] = {{"mermaid", GRAPH_MERMAID}, {"dot", GRAPH_DOT}, {"json", GRAPH_JSON}};

int cmd_graph(const struct cli_args *args)
{
    const char *name = cli_get(args, "format");
    struct workflow *workflow = NULL;
    size_t i = 0;
    struct pl_buf buf;
    bool failed;

    for (; name && i < PL_ARRAY_LEN(formats) && strcmp(formats[i].name, name) != 0; i++)
        ;
    if (i == PL_ARRAY_LEN(formats))
        return cli_usage_error("graph: no format '%s'; one of mermaid, dot, json", name);
    if (workflow_file_compile(args->operands.values[0], NULL, NULL, stderr, &workflow) != PL_OK)
        return EXIT_USAGE;
    pl_buf_init(&buf, PL_LIMIT_RUN_OUTPUT_BYTES);
    workflow_graph(workflow, formats[i].format, &buf);
    failed = pl_buf_failed(&buf);
    if (!failed) {
        fwrite(buf.data, 1, buf.len, stdout);
        if (buf.len && buf.data[buf.len - 1] != '\n')
            fputc('\n', stdout);
    }
    pl_buf_finish(&buf);
    workflow_unref(&workflow);
    return failed ? cli_usage_error("graph: the graph is too large") : EXIT_OK;
}
