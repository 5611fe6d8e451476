-- The controller's database. `log` is the truth: everything else (but `meta`) is a projection that
-- `patchwave db rebuild` makes again from it. Times are fleet milliseconds since 1970 UTC; NULL: not yet or not known.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- One row per event of a run, and per record (an import, a patch, a plan, an approval, a consent, a host key).
-- hash = SHA-256 over (hash of the row before, event, commands).
CREATE TABLE log (
    seq      INTEGER PRIMARY KEY CHECK (seq > 0),
    run      TEXT,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    event    TEXT NOT NULL,
    commands TEXT NOT NULL,
    hash     TEXT NOT NULL
) STRICT;
CREATE INDEX log_run ON log (run, seq);
CREATE INDEX log_kind ON log (kind, seq);

CREATE TABLE inventories (
    seq          INTEGER PRIMARY KEY REFERENCES log (seq),
    name         TEXT NOT NULL,
    file         TEXT NOT NULL,
    sha256       TEXT NOT NULL,
    person       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    lab          INTEGER NOT NULL,
    clock_factor INTEGER NOT NULL,
    clusters     INTEGER NOT NULL,
    nodes        INTEGER NOT NULL,
    vms          INTEGER NOT NULL
) STRICT;

CREATE TABLE clusters (
    id                  TEXT PRIMARY KEY,
    name                TEXT,
    storage             TEXT NOT NULL,
    witness             TEXT NOT NULL,
    reserve             TEXT NOT NULL,
    max_out             INTEGER NOT NULL,
    migrations_parallel INTEGER NOT NULL,
    bandwidth_mib_s     INTEGER NOT NULL
) STRICT;

CREATE TABLE nodes (
    id               TEXT PRIMARY KEY,
    cluster          TEXT NOT NULL REFERENCES clusters (id),
    address          TEXT,
    port             INTEGER NOT NULL,
    model            TEXT,
    firmware         TEXT,
    memory_mib       INTEGER NOT NULL,
    host_reserve_mib INTEGER NOT NULL,
    cpus             INTEGER NOT NULL,
    vote             INTEGER NOT NULL,
    fault_domain     TEXT NOT NULL,
    build            TEXT NOT NULL,
    bmc              TEXT
) STRICT;

CREATE TABLE vms (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    cluster      TEXT NOT NULL REFERENCES clusters (id),
    node         TEXT REFERENCES nodes (id),
    assigned_mib INTEGER NOT NULL,
    startup_mib  INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    clustered    INTEGER NOT NULL,
    sla          TEXT
) STRICT;
CREATE INDEX vms_node ON vms (node);

CREATE TABLE patches (
    kb         TEXT PRIMARY KEY,
    file       TEXT NOT NULL,
    path       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    target     TEXT NOT NULL,
    reboot     TEXT NOT NULL,
    tool       TEXT NOT NULL,
    person     TEXT NOT NULL,
    at         INTEGER NOT NULL
) STRICT;

CREATE TABLE consents (
    vm         TEXT PRIMARY KEY,
    person     TEXT NOT NULL,
    ticket     TEXT NOT NULL,
    method     TEXT NOT NULL,
    checkpoint INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    at         INTEGER NOT NULL
) STRICT;

CREATE TABLE plans (
    hash       TEXT PRIMARY KEY,
    seq        INTEGER NOT NULL REFERENCES log (seq),
    name       TEXT NOT NULL,
    kb         TEXT NOT NULL,
    planner    TEXT NOT NULL,
    made_at    INTEGER NOT NULL,
    waves      INTEGER NOT NULL,
    nodes      INTEGER NOT NULL,
    refused    INTEGER NOT NULL,
    took_p50   INTEGER NOT NULL,
    took_p95   INTEGER NOT NULL
) STRICT;

CREATE TABLE approvals (
    seq     INTEGER PRIMARY KEY REFERENCES log (seq),
    plan    TEXT NOT NULL REFERENCES plans (hash),
    person  TEXT NOT NULL,
    ticket  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE hostkeys (
    node        TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    key         TEXT NOT NULL,
    replaced    TEXT,
    person      TEXT NOT NULL,
    at          INTEGER NOT NULL
) STRICT;

CREATE TABLE runs (
    id          TEXT PRIMARY KEY,
    plan        TEXT NOT NULL REFERENCES plans (hash),
    person      TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    controller  TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    state       TEXT NOT NULL,
    hold_reason TEXT NOT NULL,
    hold_verb   TEXT NOT NULL,
    wave        INTEGER NOT NULL,
    failures    INTEGER NOT NULL,
    deviations  INTEGER NOT NULL,
    started     INTEGER,
    ended       INTEGER,
    left_p50    INTEGER NOT NULL,
    left_p95    INTEGER NOT NULL,
    stopped     TEXT,             -- why the controller left, while it has not come back
    end_text    TEXT NOT NULL,
    last_seq    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE waves (
    run      TEXT NOT NULL REFERENCES runs (id),
    wave     INTEGER NOT NULL,   -- from 1, as people count
    state    TEXT NOT NULL,
    nodes    INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    started  INTEGER,
    ended    INTEGER,
    took_p50 INTEGER NOT NULL,
    took_p95 INTEGER NOT NULL,
    PRIMARY KEY (run, wave)
) STRICT;

CREATE TABLE run_nodes (
    run          TEXT NOT NULL REFERENCES runs (id),
    node         TEXT NOT NULL,
    cluster      TEXT NOT NULL,
    wave         INTEGER NOT NULL,
    phase        TEXT NOT NULL,
    ending       TEXT NOT NULL,  -- "" while it has none
    back         INTEGER NOT NULL,
    unknown      INTEGER NOT NULL,
    claimed      INTEGER NOT NULL,
    is_out       INTEGER NOT NULL,
    life         INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    since        INTEGER NOT NULL,
    out_since    INTEGER,
    out_until    INTEGER,
    reason       TEXT NOT NULL,
    waits_for    TEXT NOT NULL,
    build_before TEXT NOT NULL,
    build_now    TEXT NOT NULL,
    PRIMARY KEY (run, node)
) STRICT;

CREATE TABLE steps (
    op          TEXT PRIMARY KEY,
    run         TEXT NOT NULL REFERENCES runs (id),
    node        TEXT NOT NULL,
    action      TEXT NOT NULL,
    args        TEXT NOT NULL,
    state       TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    witness     TEXT NOT NULL,
    sent        INTEGER,
    accepted    INTEGER,
    started     INTEGER,
    ended       INTEGER,
    limit_ms    INTEGER NOT NULL,
    error_code  TEXT,
    error_text  TEXT,
    error_native TEXT,
    error_hint  TEXT,
    output_tail TEXT,
    seq         INTEGER NOT NULL
) STRICT;
CREATE INDEX steps_run ON steps (run, node);

CREATE TABLE gates (
    run     TEXT NOT NULL REFERENCES runs (id),
    n       INTEGER NOT NULL,
    name    TEXT NOT NULL,
    type    TEXT NOT NULL,
    wave    INTEGER NOT NULL,
    side    TEXT NOT NULL,
    answer  TEXT NOT NULL,
    done    INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    started INTEGER,
    ended   INTEGER,
    text    TEXT NOT NULL,
    PRIMARY KEY (run, n)
) STRICT;

-- What nodes answered when a gate or a check asked; the facts themselves: SELECT event FROM log WHERE seq = ...
CREATE TABLE evidence (
    seq     INTEGER PRIMARY KEY REFERENCES log (seq),
    run     TEXT NOT NULL REFERENCES runs (id),
    node    TEXT,
    cluster TEXT,
    what    TEXT NOT NULL,
    ok      INTEGER NOT NULL,
    taken   INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    text    TEXT NOT NULL
) STRICT;

CREATE TABLE downtime (
    run          TEXT NOT NULL REFERENCES runs (id),
    n            INTEGER NOT NULL,
    subject      TEXT NOT NULL,
    id           TEXT NOT NULL,
    name         TEXT NOT NULL,
    node         TEXT,
    cluster      TEXT,
    wave         INTEGER NOT NULL,
    cause        TEXT NOT NULL,
    step         TEXT NOT NULL,
    op           TEXT NOT NULL,
    how          TEXT NOT NULL,
    start_at     INTEGER NOT NULL,
    end_at       INTEGER,
    measured_ms  INTEGER,
    predicted_p5 INTEGER NOT NULL,
    predicted_p50 INTEGER NOT NULL,
    predicted_p95 INTEGER NOT NULL,
    back         INTEGER NOT NULL,
    PRIMARY KEY (run, n)
) STRICT;
CREATE INDEX downtime_id ON downtime (run, id);

CREATE TABLE notes (
    seq     INTEGER NOT NULL REFERENCES log (seq),
    n       INTEGER NOT NULL,
    run     TEXT NOT NULL REFERENCES runs (id),
    at      INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    node    TEXT,
    cluster TEXT,
    rule    TEXT NOT NULL,
    text    TEXT NOT NULL,
    PRIMARY KEY (seq, n)
) STRICT;

CREATE TABLE verbs (
    seq    INTEGER PRIMARY KEY REFERENCES log (seq),
    run    TEXT NOT NULL REFERENCES runs (id),
    at     INTEGER NOT NULL,
    verb   TEXT NOT NULL,
    node   TEXT,
    person TEXT NOT NULL,
    ticket TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
