-- Answers of model calls that may be used again: what `cache` of a step keeps. The key is a hash of everything that
-- was sent; whose answer it is leads it, so that no tenant finds another's.
-- `place` counts bytes: it is that of the tenant's newest row before this one and the size of this one. So no two
-- rows of a tenant overlap, and all but the newest N bytes of a tenant are the rows up to its largest place less N.
CREATE TABLE cache (
    tenant                   TEXT    NOT NULL,
    key                      TEXT    NOT NULL,
    place                    INTEGER NOT NULL,
    output                   TEXT    NOT NULL,
    call                     TEXT,
    calls                    INTEGER NOT NULL,
    input_tokens             INTEGER NOT NULL,
    cached_input_tokens      INTEGER NOT NULL,
    cache_write_input_tokens INTEGER NOT NULL,
    output_tokens            INTEGER NOT NULL,
    reasoning_tokens         INTEGER NOT NULL,
    cost_usd                 REAL,
    created_at               INTEGER NOT NULL,
    expires_at               INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT;

CREATE UNIQUE INDEX cache_places ON cache (tenant, place);
CREATE INDEX cache_expiry ON cache (expires_at);

PRAGMA user_version = 5;
