// generate.mjs - workflows at random, the same for the same seed: races, votes, maps, loops, timers, retries, people, agents,
// on the simulated provider and a server given, with times of some milliseconds, so that what ends first is chance.
// Not their running. Used by tests/cli/recordings_generated.test.mjs.

// Numbers from 0 to 1 (mulberry32).
function source(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let word = Math.imul(state ^ (state >>> 15), state | 1);
        word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
        return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
    };
}

// {workflow, answers: ["PATH=VALUE", ...]}; `url` of a server that waits ?ms=N and answers with ?status=N. `budgets`: some have one.
export function generate(seed, url, { budgets = false } = {}) {
    const random = source(seed);
    const upto = (n) => Math.floor(random() * n);
    const chance = (share) => random() < share;
    const pick = (list) => list[upto(list.length)];
    const ms = (n) => `${1 + upto(n)}ms`;
    const answers = [];
    let names = 0;

    const names_of = (count, prefix) => Array.from({ length: count }, () => `${prefix}${names++}`);
    const object = (keys, value) => Object.fromEntries(keys.map((key) => [key, value(key)]));

    // An expression that only jq can work out, and that takes it a moment.
    const jq = () => pick(['${ [range(9)] | add }', `\${ [range(${10 ** (2 + upto(4))})] | length }`, '${ "x" * 3 }', '${ {} | keys | length }']);
    const text = (inside) => pick(['say it', `what of ${jq()}`, ...inside.map((name) => `about \${ ${name} }`), ...inside.map((name) => `of \${ ${name} | tostring }`)]);

    function model() {
        const options = [`latency=${ms(40)}`];
        if (chance(0.2)) options.push(`fail=${pick(['500', '503', '429', 'timeout', 'bad_request', 'connection_lost'])}`, `times=${1 + upto(2)}`);
        if (chance(0.1)) options.push('fail_rate=0.4');
        if (chance(0.1)) options.push('vote=a:2,b:1');
        return `${pick(['sim', 'sim', 'slow'])}/echo?${options.join('&')}`;
    }
    function llm(inside) {
        const step = { model: model(), prompt: text(inside), max_tokens: 30 };
        if (chance(0.15)) step.fallback = [model()];
        if (chance(0.15)) step.cache = { ttl: '1h' };
        if (chance(0.15)) step.hedge = { after: ms(20), max: 1 };
        if (chance(0.1)) step.schema = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } };
        return { llm: step };
    }
    function http() {
        const step = { url: `${url}/${names++}?ms=${upto(40)}&status=${pick([200, 200, 200, 200, 503, 404])}` };
        if (chance(0.5)) step.json = { of: jq() };
        return { http: step };
    }
    const reduce = (inside) => ({ reduce: pick([jq(), { a: jq(), b: 'plain' }, ...inside.map((name) => `\${ ${name} }`)]) });
    const sleep = () => ({ sleep: pick([ms(40), `\${ "${ms(30)}" | . }`]) });

    function join(count) {
        const policy = pick(['all', 'settled', 'settled', 'any', 'any', { quorum: 1 + upto(count) }, { fraction: 0.6 }]);
        const more = {};
        if (chance(0.3)) more.deadline = ms(60);
        if (chance(0.2)) more.losers = 'drain';
        if (chance(0.15)) more.accept = pick(['${ .output }', '${ .output | tostring | length > 3 }']);
        return Object.keys(more).length ? { policy, ...more } : policy;
    }

    // Keys of any step that make its end a matter of time.
    function around(step, leaf) {
        if (chance(0.15) && !step.sleep && !step.reduce && !step.human && !step.agent) step.timeout = ms(60);
        if (chance(0.1)) step.deadline = ms(80);
        if (leaf) step.retry = { attempts: 1 + upto(3), initial: ms(20), jitter: pick([0, 1]) };
        if (chance(0.1)) step.when = pick(['${ true }', '${ [1] | length > 0 }', '${ false }']);
        if (chance(0.6)) step.on_error = pick(['continue', { default: 'instead' }, { default: { of: jq() } }, { step: leaf_step([], 0) }]);
        return step;
    }
    function leaf_step(inside, people = 0.1, path = null) {
        if (path && chance(people)) {
            answers.push(`${path}=${pick(['yes', 'no', '/reject not this'])}`);
            return around({ human: { ask: 'Well?' } }, false);
        }
        const which = random();
        if (which < 0.5) return around(llm(inside), true);
        if (which < 0.65 && url) return around(http(), true);
        if (which < 0.85) return around(reduce(inside), false);
        return around(sleep(), false);
    }
    function tools() {
        return object(names_of(1 + upto(2), 't'), () => ({ description: 'a tool', do: leaf_step([], 0) }));
    }
    function body(depth, inside) {
        const ids = names_of(1 + upto(2), 'b');
        return object(ids, (id) => {
            const before = ids.slice(0, ids.indexOf(id)).map((name) => `.steps.${name}.output`);
            return step_of(depth + 1, [...inside, ...before], null);
        });
    }
    function container(depth, inside, path) {
        const count = 2 + upto(3);
        switch (pick(['parallel', 'parallel', 'parallel', 'map', 'map', 'vote', 'repeat', 'agent', 'workflow'])) {
        case 'parallel': {
            const branches = object(names_of(count, 'p'), (id) => step_of(depth + 1, inside, path && `${path}.${id}`));
            return { join: join(count), parallel: { branches, ...(chance(0.2) ? { warm_up: true } : {}) } };
        }
        case 'map': {
            const over = pick([[1, 2, 3], `\${ [range(${count})] }`, ['a', 'b', 'c', 'd', 'e']]);
            const map = { over, do: step_of(depth + 1, [...inside, '.item'], null) };
            if (chance(0.2)) map.concurrency = 1 + upto(2);
            if (chance(0.2)) map.warm_up = true;
            return { join: join(2), map };
        }
        case 'vote': {
            const vote = { of: around(llm(inside), true), samples: 3 + upto(3), method: pick(['majority', 'union']) };
            if (vote.method === 'majority' && chance(0.6)) vote.stop = 'early';
            if (chance(0.4)) vote.key = pick(['${ .output }', '${ .output | tostring | length }']);
            return { vote };
        }
        case 'repeat':
            return { repeat: { steps: body(depth, inside), max: 1 + upto(3), ...(chance(0.4) ? { until: '${ .turn + 1 >= 2 }' } : {}) } };
        case 'agent':
            return { agent: { model: `sim/echo?latency=${ms(20)}`, prompt: text(inside), max_tokens: 30, max_turns: 3, tools: tools() } };
        default:
            return { workflow: { steps: body(depth, inside) } };
        }
    }
    function step_of(depth, inside, path) {
        if (depth >= 3 || chance(depth === 0 ? 0.3 : 0.6)) return leaf_step(inside, 0.1, path);
        return around(container(depth, inside, path), false);
    }

    const ids = names_of(3 + upto(4), 's');
    const steps = object(ids, (id) => {
        const before = ids.slice(0, ids.indexOf(id)).filter(() => chance(0.3));
        return step_of(0, before.map((name) => `.steps.${name}.output`), id);
    });
    const output = object(ids, (id) => ({
        output: `\${ .steps.${id}.output }`, status: `\${ .steps.${id}.status }`, error: `\${ .steps.${id}.error }`,
        join: `\${ .steps.${id}.join }`, usage: `\${ .steps.${id}.usage }`,
    }));
    const workflow = { name: `generated-${seed}`, defaults: { retry: { attempts: 1 } }, steps, output };
    if (chance(0.3)) workflow.join = 'settled';
    if (chance(0.2)) workflow.timeout = `${20 + upto(150)}ms`;
    if (chance(0.2) && budgets) workflow.budget = { tokens: 50 + upto(400) };
    return { workflow, answers };
}
