-- The first schema: pinned definitions, runs, their steps and their events. The tenant leads every key; rows are
-- clustered by run, so that a run is read in one sweep and its next row lands beside the last.
-- application_id is "PLAI": it marks the file as one of Plait's.
PRAGMA application_id = 1347174729;

CREATE TABLE definitions (
    tenant TEXT NOT NULL,
    hash   TEXT NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;

-- A large input is kept in run_inputs, so that the row, which is rewritten as the run goes on, stays small.
CREATE TABLE runs (
    tenant              TEXT    NOT NULL,
    id                  TEXT    NOT NULL,
    definition          TEXT    NOT NULL,
    workflow_name       TEXT    NOT NULL,
    workflow_version    INTEGER NOT NULL,
    status              TEXT    NOT NULL,
    phase               TEXT    NOT NULL,
    paused              INTEGER NOT NULL,
    input_apart         INTEGER NOT NULL,
    input               TEXT,
    output              TEXT,
    error               TEXT,
    reason              TEXT    NOT NULL,
    thread              TEXT    NOT NULL,
    metadata            TEXT    NOT NULL,
    options             TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,
    started_at          INTEGER NOT NULL,
    ended_at            INTEGER NOT NULL,
    calls               INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    cost_usd            REAL,
    last_seq            INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_unfinished ON runs (created_at, tenant, id) WHERE ended_at = 0;

CREATE TABLE run_inputs (
    tenant TEXT NOT NULL,
    id     TEXT NOT NULL,
    input  TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
    tenant              TEXT    NOT NULL,
    run                 TEXT    NOT NULL,
    path                TEXT    NOT NULL,
    kind                TEXT    NOT NULL,
    status              TEXT    NOT NULL,
    phase               TEXT    NOT NULL,
    attempts            INTEGER NOT NULL,
    tries               INTEGER NOT NULL,
    handled             INTEGER NOT NULL,
    counted             INTEGER NOT NULL,
    model               TEXT    NOT NULL,
    output              TEXT,
    error               TEXT,
    reason              TEXT    NOT NULL,
    join_state          TEXT    NOT NULL,
    calls               INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    cost_usd            REAL,
    created_at          INTEGER NOT NULL,
    started_at          INTEGER NOT NULL,
    ended_at            INTEGER NOT NULL,
    wake_at             INTEGER NOT NULL,
    sent_at             INTEGER NOT NULL,
    PRIMARY KEY (tenant, run, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    tenant  TEXT    NOT NULL,
    run     TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    type    TEXT    NOT NULL,
    path    TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    data    TEXT    NOT NULL,
    PRIMARY KEY (tenant, run, seq)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 1;
