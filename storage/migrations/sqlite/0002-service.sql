-- What the service needs beside runs: stored workflows, idempotency keys, and lists of a tenant's runs.

-- The newest version is the one in force. A delete takes the versions away; the last number ever given stays in
-- workflow_names, so that no number comes back with another content.
CREATE TABLE workflow_names (
    tenant       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    last_version INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE workflows (
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    hash       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    text       TEXT    NOT NULL,
    PRIMARY KEY (tenant, name, version)
) STRICT, WITHOUT ROWID;

-- A key lives as long as its run.
CREATE TABLE run_keys (
    tenant      TEXT NOT NULL,
    route       TEXT NOT NULL,
    key         TEXT NOT NULL,
    run         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    PRIMARY KEY (tenant, route, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX run_keys_by_run ON run_keys (tenant, run);

-- Runs are listed newest first, by id: the primary key serves the whole list, these the filtered ones.
CREATE INDEX runs_by_status ON runs (tenant, status, id);
CREATE INDEX runs_by_workflow ON runs (tenant, workflow_name, id) WHERE workflow_name <> '';
CREATE INDEX runs_by_thread ON runs (tenant, thread, id) WHERE thread <> '';

PRAGMA user_version = 2;
