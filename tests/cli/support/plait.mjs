// plait.mjs - starts the program under test and what every test needs around it: temporary places, processes that end
// with their test, waiting with a deadline. Not assertions about runs (run.mjs). Used by tests/cli/*.test.mjs.
//
// PLAIT and FAKE_MODEL name the programs (default: those of build/); PLAIT_SLOW=1 says that they are instrumented: waits
// are longer and figures of speed are not judged.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const PLAIT = path.resolve(process.env.PLAIT || path.join(top, 'build/plait'));
export const FAKE_MODEL = path.resolve(process.env.FAKE_MODEL || path.join(top, 'build/tests/fake_model/fake_model'));
export const SLOW = Boolean(process.env.PLAIT_SLOW) && process.env.PLAIT_SLOW !== '0';

const PATIENCE_MS = SLOW ? 120_000 : 30_000; // of one wait
export const limit = { timeout: SLOW ? 400_000 : 120_000 }; // of one test

for (const program of [PLAIT, FAKE_MODEL])
    if (!fs.existsSync(program)) throw new Error(`${program} is missing: build first, or set PLAIT and FAKE_MODEL`);

// ---- waiting ----

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Asks until `look` gives something true, and returns that; throws when it takes too long.
export async function until(look, what, ms = PATIENCE_MS) {
    const end = Date.now() + ms;
    for (let pause = 2; ; pause = Math.min(pause * 1.5, 50)) {
        const found = await look();
        if (found) return found;
        if (Date.now() > end) throw new Error(`waited ${ms} ms in vain for ${what}`);
        await sleep(pause);
    }
}

// ---- places ----

// A folder of the test's own, removed when the test ends.
export function folder(t) {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'plait-cli-'));
    t.after(() => {
        spawnSync('chmod', ['-R', 'u+rwX', dir]);
        fs.rmSync(dir, { recursive: true, force: true });
    });
    return dir;
}

// A user's home: where plait keeps its runs, and where the test writes its files.
export function place(t) {
    const dir = folder(t);
    const state = path.join(dir, 'state');
    return {
        dir,
        state,
        runs: path.join(state, 'plait/runs'),
        env: { HOME: dir, XDG_STATE_HOME: state },
        database: (id) => path.join(state, 'plait/runs', `${id}.db`),
        path: (name) => path.join(dir, name),
        // Writes a file and returns its path; what is no text is written as JSON.
        file(name, content) {
            const file = path.join(dir, name);
            const text = typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content);
            fs.writeFileSync(file, text);
            return file;
        },
    };
}

// ---- processes ----

const kept = ['PATH', 'LANG', 'LC_ALL', 'TMPDIR', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS', 'LSAN_OPTIONS',
    'ASAN_SYMBOLIZER_PATH', 'LLVM_PROFILE_FILE'];

// Nothing of the developer's own settings reaches the program. A value of undefined leaves the variable out.
export function environment(extra = {}) {
    const env = {};
    for (const name of kept) if (process.env[name] !== undefined) env[name] = process.env[name];
    for (const [name, value] of Object.entries(extra)) {
        if (value === undefined) delete env[name];
        else env[name] = String(value);
    }
    return env;
}

const sanitizerReport = /\b(Address|Leak|Thread|UndefinedBehavior)Sanitizer\b|: runtime error: /;

// Starts a program; it is killed when the test ends. `done` resolves to {code, signal, out, err, ms}; what a sanitizer
// reports fails the test, whatever the program went on to do.
export function start(t, program, args, { env = {}, cwd, input } = {}) {
    const out = [];
    const err = [];
    const began = performance.now();
    const child = spawn(program, args, { env, cwd, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
    const text = (pieces) => Buffer.concat(pieces).toString('utf8');
    const process = {
        child,
        pid: child.pid,
        ended: false,
        out: () => text(out),
        err: () => text(err),
        kill: (signal = 'SIGKILL') => child.kill(signal),
        // The match of a pattern on stderr, once it is there.
        said: (pattern) =>
            until(() => {
                const found = text(err).match(pattern);
                if (!found && process.ended) throw new Error(`it ended without saying ${pattern}: ${text(err)}`);
                return found;
            }, `${pattern} on stderr`),
    };
    child.stdout.on('data', (piece) => out.push(piece));
    child.stderr.on('data', (piece) => err.push(piece));
    process.done = new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code, signal) => {
            const result = { code, signal, out: text(out), err: text(err), ms: performance.now() - began };
            process.ended = true;
            if (sanitizerReport.test(result.err) || sanitizerReport.test(result.out)) reject(new Error(result.err + result.out));
            else resolve(result);
        });
    });
    process.done.catch(() => {}); // it may fail before anybody waits for it
    if (input !== undefined) {
        child.stdin.on('error', () => {}); // it may end without reading it
        if (input !== null) child.stdin.end(input); // null: the test writes by itself
    }
    t.after(async () => {
        if (!process.ended) child.kill('SIGKILL');
        await process.done;
    });
    return process;
}

// Starts plait in a place. Options: env (added), cwd, input (of stdin).
export function plait(t, home, args, { env = {}, cwd = home.dir, input } = {}) {
    return start(t, PLAIT, args, { env: environment({ ...home.env, ...env }), cwd, input });
}

// Runs plait to its end.
export function run(t, home, args, options) {
    return plait(t, home, args, options).done;
}

// The highest resident memory in bytes that a process had while it was watched. Resolves when it ended.
export async function peakMemory(process) {
    let peak = 0;
    while (!process.ended) {
        try {
            const line = fs.readFileSync(`/proc/${process.pid}/status`, 'utf8').match(/^VmHWM:\s+(\d+) kB/m);
            if (line) peak = Math.max(peak, Number(line[1]) * 1024);
        } catch {
            break; // it has ended
        }
        await sleep(5);
    }
    return peak;
}
