#include "orchestrator/io/report_sections.h"

#include <stddef.h>

/* A list for people, cut where it would be a page. */
#define SHORT(list) "CASE WHEN length(" list ") > 76 THEN substr(" list ", 1, 72) || ' ...' ELSE " list " END"

const struct section report_sections[SECTIONS] = {
    { "waves", "Waves", NULL,
      /* what was predicted of a wave is its nodes, from the first one out to the last one back */
      "SELECT w.wave, w.state, w.nodes, w.failures, w.took_p50 AS predicted_ms, max(coalesce(n.out_until, "
      "CASE "
      "WHEN n.out_since IS NULL THEN NULL ELSE ?2 END)) - min(n.out_since) AS took_ms, coalesce(w.ended, "
      "CASE "
      "WHEN w.started IS NULL THEN NULL ELSE ?2 END) - w.started AS with_gates_ms FROM waves w LEFT JOIN "
      "run_nodes n ON n.run = w.run AND n.wave = w.wave WHERE w.run = ?1 GROUP BY w.wave ORDER BY w.wave",
      NULL },
    { "exceptions", "Nodes that did not end done or compliant", "None.",
      "SELECT node, wave, CASE ending WHEN '' THEN phase ELSE ending END AS state, reason, build_now AS "
      "build FROM run_nodes WHERE "
      "run = ?1 AND ending NOT IN ('done', 'compliant') ORDER BY wave, node",
      "SELECT wave, CASE ending WHEN '' THEN phase ELSE ending END AS state, count(*) AS nodes, " SHORT(
          "group_concat(node, ', ')") " AS names, reason FROM (SELECT * FROM run_nodes WHERE run = ?1 AND "
                                      "ending NOT IN "
                                      "('done', 'compliant') ORDER BY node) GROUP BY wave, state, reason "
                                      "ORDER BY wave, state, names" },
    { "refused", "Nodes that the plan left out", NULL,
      "SELECT json_extract(j.value, '$.node') AS node, json_extract(j.value, '$.rule') AS rule, "
      "json_extract(j.value, '$.reason') AS "
      "reason FROM runs r JOIN plans p ON p.hash = r.plan JOIN log l ON l.seq = p.seq, json_each(l.event, "
      "'$.plan.refusals') j WHERE "
      "r.id = ?1 AND ?2 > 0",
      NULL },
    { "not_back", "Not back in service", NULL,
      "SELECT n.node, CASE n.ending WHEN '' THEN n.phase ELSE n.ending END AS state, i.bmc, n.reason FROM "
      "run_nodes n LEFT JOIN nodes i "
      "ON i.id = n.node WHERE n.run = ?1 AND n.is_out AND ?2 > 0 ORDER BY n.node",
      NULL },
    { "gates", "Gates", "No gate was looked at.",
      "SELECT wave, side, name, type, CASE done WHEN 1 THEN answer ELSE 'open' END AS answer, samples, text "
      "FROM gates WHERE run = ?1 AND "
      "?2 > 0 AND NOT (done AND answer = 'pass' AND samples = 0 AND type <> 'manual') ORDER BY n",
      "SELECT wave, side, CASE done WHEN 1 THEN answer ELSE 'open' END AS answer, group_concat(name, ', ') "
      "AS "
      "gates, text FROM (SELECT * FROM gates WHERE run = ?1 AND ?2 > 0 AND NOT (done AND answer = 'pass' AND "
      "samples = 0 AND type <> 'manual') ORDER BY n) GROUP BY wave, side, answer, text ORDER BY min(n)" },
    { "nodes", "Nodes", NULL,
      "SELECT node, cluster, wave, CASE ending WHEN '' THEN phase ELSE ending END AS state, build_before, "
      "build_now, "
      "coalesce(out_until, CASE WHEN out_since IS NULL THEN NULL ELSE ?2 END) - out_since AS out_ms, attempt "
      "FROM run_nodes WHERE run = ?1 "
      "ORDER BY wave, node",
      "SELECT wave, CASE ending WHEN '' THEN phase ELSE ending END AS state, count(*) AS nodes, "
      "count(DISTINCT "
      "cluster) AS clusters, build_before, build_now, min(out_ms) AS shortest_out_ms, max(out_ms) AS "
      "longest_out_ms FROM (SELECT *, coalesce(out_until, CASE WHEN out_since IS NULL THEN NULL ELSE ?2 END) "
      "- "
      "out_since AS out_ms FROM run_nodes WHERE run = ?1) GROUP BY wave, state, build_before, build_now "
      "ORDER BY wave, state" },
    { "stopped_vms", "VMs that lost service other than by a live move", "None.",
      "SELECT name, id, node, cause, sum(coalesce(end_at, ?2) - start_at) AS measured_ms, min(predicted_p5) "
      "AS p5_ms, max(predicted_p50) "
      "AS p50_ms, max(predicted_p95) AS p95_ms, CASE WHEN max(predicted_p95) = 0 THEN 'not predicted' WHEN "
      "sum(coalesce(end_at, ?2) - "
      "start_at) BETWEEN min(predicted_p5) AND max(predicted_p95) THEN 'yes' ELSE 'no' END AS as_predicted "
      "FROM downtime WHERE run = ?1 "
      "AND subject = 'vm' AND cause <> 'blackout' GROUP BY id, cause ORDER BY name, id",
      NULL },
    { "failed_steps", "Steps that did not end well", "None.",
      "SELECT node, action, CASE outcome WHEN 'none' THEN state ELSE outcome END AS outcome, error_code, "
      "error_native, error_text, "
      "error_hint, op, output_tail FROM steps WHERE run = ?1 AND ?2 > 0 AND (outcome IN ('failed', "
      "'refused') OR state = 'unknown') "
      "ORDER BY seq",
      "SELECT node, action, CASE outcome WHEN 'none' THEN state ELSE outcome END AS outcome, count(*) AS "
      "times, "
      "trim(coalesce(error_code, '') || ' ' || coalesce(error_native, '')) AS error, coalesce(error_text, "
      "'') AS "
      "what, max(op) AS latest_op FROM steps WHERE run = ?1 AND ?2 > 0 AND (outcome IN ('failed', 'refused') "
      "OR "
      "state = 'unknown') GROUP BY node, action, steps.outcome, state, error, what ORDER BY min(seq)" },
    { "deviations", "Deviations from the plan", "None.",
      "SELECT at AS when_at, node, rule, text FROM notes WHERE run = ?1 AND ?2 > 0 AND kind = 'deviation' "
      "ORDER BY seq, n",
      "SELECT rule, sum(n) AS times, why, " SHORT(
          "group_concat(node || ' ' || n, ', ')") " AS nodes FROM (SELECT "
                                                  "coalesce(node, 'run') AS node, rule, count(*) AS n, "
                                                  "min(seq) AS seq, CASE instr(text, ': ') WHEN 0 THEN "
                                                  "text ELSE substr(text, instr(text, ': ') + 2) END AS why "
                                                  "FROM notes WHERE run = ?1 AND ?2 > 0 AND kind = "
                                                  "'deviation' GROUP BY node, rule, why ORDER BY n DESC, "
                                                  "seq) GROUP BY rule, why ORDER BY times DESC, "
                                                  "min(seq)" },
    { "warnings", "Warnings", NULL,
      "SELECT at AS when_at, node, rule, text FROM notes WHERE run = ?1 AND ?2 > 0 AND kind = 'warning' "
      "ORDER BY seq, n",
      "SELECT min(at) AS first_at, rule, count(*) AS times, " SHORT(
          "group_concat(DISTINCT coalesce(node, cluster))") " AS nodes, text FROM (SELECT * FROM "
                                                            "notes WHERE run = ?1 AND ?2 > 0 AND kind = "
                                                            "'warning' ORDER BY seq, "
                                                            "n) GROUP BY rule, text ORDER BY "
                                                            "min(seq), min(n)" },
    { "settings", "Cluster settings (O18)", NULL,
      "SELECT at AS when_at, cluster, kind, text FROM notes WHERE run = ?1 AND ?2 > 0 AND rule = 'O18' AND "
      "cluster IS NOT NULL ORDER BY seq, n",
      "SELECT text, " SHORT(
          "group_concat(cluster, ', ')") " AS clusters FROM (SELECT cluster, text, seq FROM notes "
                                         "WHERE run = ?1 AND ?2 > 0 AND rule = 'O18' AND kind = 'decision' "
                                         "AND cluster IS NOT NULL ORDER BY "
                                         "seq, n) GROUP BY text ORDER BY min(seq)" },
    { "verbs", "What operators said", NULL,
      "SELECT at AS when_at, verb, node, person, ticket, reason, seq FROM verbs WHERE run = ?1 AND ?2 > 0 "
      "ORDER BY seq",
      NULL },
};
