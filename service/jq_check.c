/* jq_check.c - see jq_check.h. */
#include "service/jq_check.h"

#include <stdlib.h>

enum pl_code jq_check_exprs(struct jq_pool *pool, struct expr *const *exprs, size_t n_exprs,
                            struct pl_err *errors, struct pl_err *err)
{
    struct pl_str *texts = calloc(n_exprs + 1, sizeof *texts);
    enum pl_code code;

    if (!texts)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < n_exprs; i++)
        texts[i] = exprs[i]->program;
    code = jq_pool_check(pool, texts, n_exprs, errors, err);
    free(texts);
    return code;
}
