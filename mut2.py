import subprocess,sys,os,time
M={
'M0 clean':[],
'M1 stale-gate-evidence':[('orchestrator/core/engine_gate.c','    if (ev->u.observed.taken + SKEW_MS < asked)','    if (g->done && ev->u.observed.taken + SKEW_MS < asked)'),('orchestrator/core/engine_gate.c','    if (g->gate->max_age_ms > 0 && ev->at - asked > g->gate->max_age_ms)','    if (g->done && ev->at - asked > g->gate->max_age_ms)')],
'M2 abort-goes-on-draining':[('orchestrator/core/engine_drain.c','    if (n->go_home && n->moves_open == 0) {','    if (n->go_home && n->moves_open == 0 && n->back) {')],
'M2b stop-finishes-the-drain':[('orchestrator/core/engine_drain.c','    if (n->go_home && n->moves_open == 0) {','    if (n->go_home && n->moves_open == 0 && n->step != DRAIN_MOVES && n->step != DRAIN_PARKS) {')],
'M2c stop-finishes-the-drain':[('orchestrator/core/engine_drain.c','    if (n->go_home && n->moves_open == 0) {','    if (n->go_home && n->moves_open == 0 && !(e->ending != RUN_RUNNING && n->reason[0] == 0 && (n->step == DRAIN_MOVES || n->step == DRAIN_PARKS))) {')],
'M4 unknown-not-in-budget':[('orchestrator/core/engine_schedule.c','w->failures + w->unknown >','w->failures >'),('orchestrator/core/engine_schedule.c','e->failures + e->unknown >','e->failures >')],
'M5 life-is-five-minutes':[('orchestrator/core/engine_schedule.c','    dur_ms life = life_p95(e, n);','    dur_ms life = life_p95(e, n) > 0 ? 5 * MINUTE_MS + 1 : 0;')],
'M6 start-under-overtaken-claim':[('agent/core/op_life.c','    if (!agent_claim_is(&a->fold.claim, l->op->epoch, l->op->controller)) { /* I20 */','    if (l->op->epoch < 0) { /* I20 */'),('agent/core/method_claim.c','    park_accepted(a);','    if (a->n_lives > 1000)\n        park_accepted(a);')],
'M12 unknown-breaks-no-soak':[('orchestrator/core/gate.c','        t->row = 0;\n','')],
'M13 soak-not-awaited-but-samples':[('orchestrator/core/gate.c','t->row < g->samples || at - t->first < g->soak_ms','t->row < g->samples')],
}
names=sys.argv[1:] or list(M)
env=dict(os.environ,CCACHE_DIR='/work/h/ccache',CCACHE_BASEDIR='/work/h/review1',CCACHE_NOHASHDIR='1')
for k in M:
    if not any(k.startswith(n) for n in names): continue
    saved={}
    for f,a,b in M[k]:
        s=open(f).read(); saved.setdefault(f,s)
        assert s.count(a)==1,(k,f,a,s.count(a))
        open(f,'w').write(s.replace(a,b))
    r=subprocess.run(['nice','-n','15','cmake','--build','build/debug','-j1','--target','sim_patchwave'],env=env,capture_output=True,text=True)
    if r.returncode: print(k,'BUILD',r.stdout[-800:])
    else:
        t=time.time()
        r=subprocess.run('timeout 150 nice -n 19 build/debug/tests/sim/sim_patchwave --seeds 1..1200 --keep-going --faults 7,36,40',shell=True,capture_output=True,text=True)
        v=[l for l in r.stdout.splitlines() if 'VIOLATION' in l]
        print(k,'violations',len(v),'secs',int(time.time()-t),(r.stdout.splitlines() or ['EMPTY rc %d'%r.returncode])[0][:120] if not v else v[0][:200],flush=True)
    for f,s in saved.items(): open(f,'w').write(s)
