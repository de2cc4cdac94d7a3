// check.test.mjs - `plait check`, `plait graph` and `plait version`: what is wrong with a file, how it looks drawn. The same
// bad files are held against the parser by tests/unit/service/test_workflow_bad.c.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { limit, place, run, top } from './support/plait.mjs';

const badFolder = path.join(top, 'tests/check/bad');
const badFiles = fs.readdirSync(badFolder).filter((name) => /\.(yaml|json)$/.test(name));
const examples = fs.readdirSync(path.join(top, 'examples')).filter((name) => name.endsWith('.yaml')).map((name) => path.join(top, 'examples', name));

const expectedOf = (name) => fs.readFileSync(path.join(badFolder, name.replace(/\.\w+$/, '.expected')), 'utf8');
// Whether a provider is there is asked only with --config: a file may be checked where there are no keys.
const withoutProviders = (text) => text.split('\n').filter((line) => !line.includes(': no provider for ')).join('\n');

test('there are at least thirty bad files', () => assert.ok(badFiles.length >= 30, `${badFiles.length}`));

for (const name of badFiles)
    test(`check tells every problem of ${name}, and nothing else, on stdout`, limit, async (t) => {
        const result = await run(t, place(t), ['check', name], { cwd: badFolder });
        assert.equal(result.out, withoutProviders(expectedOf(name)));
        assert.equal(result.err, '');
        assert.equal(result.code, 2);
    });

test('each line has file, line, column, a pointer and a sentence', limit, async (t) => {
    for (const name of badFiles)
        for (const line of expectedOf(name).trimEnd().split('\n'))
            assert.match(line, /^[\w.-]+\.(yaml|json):[1-9]\d*:[1-9]\d* (\/[^:]*)?: \S.{8,}$/, line);
});

test('with --config models without a provider are problems too', limit, async (t) => {
    const home = place(t);
    const config = home.file('c.yaml', 'providers:\n  openai: {api_key: x}\n');
    const result = await run(t, home, ['check', 'unknown-provider.yaml', '--config', config], { cwd: badFolder });
    assert.equal(result.code, 2);
    const places = (text) => text.trimEnd().split('\n').map((line) => line.split(': ')[0]);
    assert.deepEqual(places(result.out), places(expectedOf('unknown-provider.yaml')));
});

test('several files are checked in one go: all problems, one exit code', limit, async (t) => {
    const names = ['cycle.yaml', 'quorum-too-large.yaml'];
    const result = await run(t, place(t), ['check', names[0], examples[0], names[1], 'missing.yaml'], { cwd: badFolder });
    assert.equal(result.code, 2);
    assert.ok(result.out.startsWith(names.map(expectedOf).join('')), result.out);
    assert.match(result.out, /^missing\.yaml:.*No such file/m);
});

test('a file from stdin is called -', limit, async (t) => {
    const text = fs.readFileSync(path.join(badFolder, 'cycle.yaml'), 'utf8');
    const result = await run(t, place(t), ['check', '-'], { input: text });
    assert.equal(result.code, 2);
    assert.equal(result.out, expectedOf('cycle.yaml').replaceAll('cycle.yaml:', '-:'));
    const good = await run(t, place(t), ['check', '-'], { input: '{"steps": {"a": {"reduce": 1}}}' });
    assert.equal(good.code, 0);
});

test('the examples are good: check says nothing and exits 0', limit, async (t) => {
    const result = await run(t, place(t), ['check', ...examples]);
    assert.equal(result.out, '');
    assert.equal(result.err, '');
    assert.equal(result.code, 0);
});

test('what is not text, or deeper than any workflow, is refused without harm', limit, async (t) => {
    const home = place(t);
    const cases = {
        'zero.yaml': Buffer.alloc(1000),
        'latin.yaml': Buffer.from('steps: {a: {reduce: "\xe4\xf6"}}', 'latin1'),
        'deep.json': '['.repeat(100000),
        'deep.yaml': '[ '.repeat(20000),
        'long.yaml': `steps: {a: {reduce: "${'x'.repeat(9 << 20)}"}}`,
        'anchors.yaml': `a: &a [${'x,'.repeat(50)}]\n${[...'bcdefghi'].map((name, i) => `${name}: &${name} [${`*${'abcdefgh'[i]},`.repeat(50)}]`).join('\n')}\n`,
    };
    for (const [name, content] of Object.entries(cases)) {
        const result = await run(t, home, ['check', home.file(name, content)]);
        assert.equal(result.code, 2, name);
        assert.ok(result.out.length > 0 && result.out.length < 100000, `${name}: ${result.out.length} bytes`);
    }
});

test('control characters of a file do not reach the terminal', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', JSON.stringify({ 'steps\u001b[31m': {}, steps: { 'a\u0007': { llm: { 'p\u001b]0;x\u0007': 1 } } } }));
    const result = await run(t, home, ['check', file]);
    assert.equal(result.code, 2);
    assert.doesNotMatch(result.out, /[\u0000-\u0009\u000b-\u001f\u007f]/);
});

// ---- graph ----

// Braces and quotes that pair up, and as many statements as a drawing needs.
function checkDot(text) {
    let depth = 0;
    let quoted = false;
    for (let i = 0; i < text.length; i++) {
        if (quoted && text[i] === '\\') i++;
        else if (text[i] === '"') quoted = !quoted;
        else if (!quoted && text[i] === '{') depth++;
        else if (!quoted && text[i] === '}') depth--;
        assert.ok(depth >= 0);
    }
    assert.equal(depth, 0);
    assert.equal(quoted, false);
    assert.match(text, /^digraph "/);
}

const graphOf = async (t, file, format) => {
    const result = await run(t, place(t), ['graph', file, ...(format ? ['--format', format] : [])]);
    assert.equal(result.code, 0, result.err);
    assert.equal(result.err, '');
    assert.match(result.out, /\n$/);
    return result.out;
};

for (const file of examples)
    test(`the graph of ${path.basename(file)} is whole in every format`, limit, async (t) => {
        const mermaid = await graphOf(t, file);
        assert.match(mermaid, /^flowchart TD\n/);
        assert.equal(mermaid.match(/^ *subgraph /gm)?.length ?? 0, mermaid.match(/^ *end$/gm)?.length ?? 0);
        assert.equal(await graphOf(t, file, 'mermaid'), mermaid);
        checkDot(await graphOf(t, file, 'dot'));
        const { nodes, edges } = JSON.parse(await graphOf(t, file, 'json'));
        const ids = nodes.map((node) => node.id);
        assert.equal(new Set(ids).size, ids.length);
        for (const edge of edges) assert.ok(ids.includes(edge.from) && ids.includes(edge.to), JSON.stringify(edge));
        assert.equal(mermaid.match(/ --> /g)?.length ?? 0, edges.length);
        const named = ids.map((id) => id.split('.').pop()).filter((name) => name !== '*'); // others are called by what they are in
        for (const name of named) assert.match(mermaid, new RegExp(`\\["${name}: `));
    });

test('the travel plan is drawn as three steps that lead to one', limit, async (t) => {
    const { nodes, edges } = JSON.parse(await graphOf(t, path.join(top, 'examples/travel-plan.yaml'), 'json'));
    assert.deepEqual(nodes.map((node) => node.id), ['attractions', 'hotels', 'transport', 'plan']);
    assert.deepEqual(edges.map((edge) => `${edge.from}>${edge.to}`).sort(), ['attractions>plan', 'hotels>plan', 'transport>plan']);
});

test('the graph of a bad file is its problems, on stderr, exit 2', limit, async (t) => {
    const result = await run(t, place(t), ['graph', 'cycle.yaml'], { cwd: badFolder });
    assert.equal(result.code, 2);
    assert.equal(result.out, '');
    assert.equal(result.err, expectedOf('cycle.yaml'));
});

test('version names plait and its libraries', limit, async (t) => {
    for (const args of [['version'], ['--version']]) {
        const result = await run(t, place(t), args);
        assert.equal(result.code, 0);
        assert.match(result.out, /^plait \d+\.\d+\.\d+\S*\n/);
        for (const library of ['libcurl', 'sqlite', 'libyaml', 'cJSON', 'libsodium']) assert.match(result.out, new RegExp(`${library} \\d`));
    }
});

test('a workflow called by name is a file beside the one that is checked', limit, async (t) => {
    const home = place(t);
    const file = home.file('main.yaml', 'steps:\n  a: {workflow: {name: greet, input: {who: you}}}\n  b: {workflow: {name: greet, input: {who: 1}}}\n');
    home.file('greet.yaml', 'input: {required: [who], properties: {who: {type: string}}}\nsteps: {x: {reduce: "${ .input.who }"}}\n');
    const result = await run(t, home, ['check', file]);
    assert.equal(result.code, 2);
    assert.match(result.out, /main\.yaml:3:31 \/steps\/b\/workflow\/input: the workflow 'greet' does not take this input: who: expected a string/);
    assert.equal(result.out.trimEnd().split('\n').length, 1);
    const drawn = await run(t, home, ['graph', home.file('one.yaml', 'steps: {a: {workflow: {name: greet, input: {who: you}}}}\n')]);
    assert.match(drawn.out, /n0\["a: workflow greet"\]/);
});

test('a workflow that is no file, or asks for a version, is refused', limit, async (t) => {
    const home = place(t);
    const file = home.file('main.yaml', 'steps:\n  a: {workflow: {name: nowhere}}\n  b: {workflow: {name: greet@3}}\n');
    const result = await run(t, home, ['check', file]);
    assert.equal(result.code, 2);
    assert.match(result.out, /:2:24 \/steps\/a\/workflow\/name: .*there is no file nowhere\.yaml \(\.yml, \.json\) beside it/);
    assert.match(result.out, /:3:24 \/steps\/b\/workflow\/name: .*files have no versions/);
});

test('a jq program that does not compile is a problem where it stands', limit, async (t) => {
    const home = place(t);
    const file = home.file('main.yaml', 'steps:\n  a: {reduce: "${ .input | lenth }"}\n  b: {reduce: "${ .input | length }"}\n');
    const result = await run(t, home, ['check', file]);
    assert.equal(result.code, 2);
    assert.match(result.out, /^[^\n]*:2:15 \/steps\/a\/reduce: in expression '\.input \| lenth', lenth\/0 is not defined; did you mean 'length'\?\n$/);
});

// ---- warnings ----

test('what is allowed and most likely not meant is told on stderr, and the file is good', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.yaml', [
        'input: {properties: {city: {type: string}}}',
        'steps:',
        '  a: {llm: {model: sim/echo, prompt: "Hello {{ name }} of ${ .input.ctiy }"}}',
    ].join('\n'));
    const result = await run(t, home, ['check', file]);
    assert.equal(result.code, 0);
    assert.equal(result.out, '');
    assert.deepEqual(result.err.trimEnd().split('\n').map((line) => line.slice(home.dir.length + 1)), [
        "w.yaml:3:38 /steps/a/llm/prompt: warning: '{{ name }}' is sent as it stands: expressions are written ${ ... }, such as ${ .input.name }",
        "w.yaml:3:38 /steps/a/llm/prompt: warning: in expression '.input.ctiy', the schema of .input has no property 'ctiy'; did you mean 'city'?",
    ].sort((x, y) => result.err.indexOf(x) - result.err.indexOf(y)));
});

test('a file with errors has its warnings told beside them', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.yaml', 'steps:\n  a: {llm: {model: sim/echo, prompt: "{{ name }} ${ .steps.b.output }"}}\n');
    const result = await run(t, home, ['check', file]);
    assert.equal(result.code, 2);
    assert.match(result.out, /^[^\n]*there is no step 'b' here[^\n]*\n$/);
    assert.match(result.err, /^[^\n]*warning: '\{\{ name \}\}' is sent as it stands[^\n]*\n$/);
});

test('only check tells warnings: run, graph and estimate go their way', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.yaml', 'steps:\n  a: {llm: {model: "sim/echo?text=x", prompt: "{{ name }}"}}\n');
    for (const args of [['run', file, '--quiet'], ['graph', file], ['estimate', file]]) {
        const result = await run(t, home, args);
        assert.equal(result.code, 0, args[0]);
        assert.doesNotMatch(result.err + result.out, /sent as it stands/, args[0]);
    }
});

const mistakes = [
    [".input.a == 'x'", 'text in jq stands in double quotes'],
    ['.input.a && .input.b', "jq writes 'and' and 'or'"],
    ['.input.a and !.input.b', "jq writes 'not' behind the value: .input.a | not"],
    ['.input.a ? 1 : 2', "jq writes 'if a then b else c end'"],
    ['.input.user-id', `a name with '-' in it is written ["user-id"]`],
    ['len(.input.a)', "did you mean 'length'?"],
    ['.input.a | lenght', "did you mean 'length'?"],
];

for (const [expression, hint] of mistakes)
    test(`what other languages write has a hint: ${expression}`, limit, async (t) => {
        const home = place(t);
        const file = home.file('w.json', JSON.stringify({ steps: { a: { reduce: `\${ ${expression} }` } } }));
        const result = await run(t, home, ['check', file]);
        assert.equal(result.code, 2);
        assert.equal(result.out.trimEnd().split('; ').at(-1), hint);
    });
