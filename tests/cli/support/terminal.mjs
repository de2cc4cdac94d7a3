// terminal.mjs - runs plait on a pseudo-terminal (by script of util-linux) and plays what it wrote on a small screen, so that
// a test sees what a person would. Not a whole terminal: the controls that plait uses, anything else is an error. Used by
// terminal.test.mjs.
import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { PLAIT, environment, start, until } from './plait.mjs';

const quote = (word) => `'${String(word).replaceAll("'", "'\\''")}'`;

// Starts `plait ARGS` with stderr on a terminal of that size. stdout goes there too, or to the file `stdout`.
export function onTerminal(t, home, args, { rows = 24, columns = 80, stdout, env = {} } = {}) {
    const tty = path.join(home.dir, `tty-${Math.random().toString(36).slice(2)}`);
    const words = [PLAIT, ...args].map(quote).join(' ');
    const line = `stty rows ${rows} cols ${columns}; tty >${quote(tty)}; exec ${words}${stdout ? ` >${quote(stdout)}` : ''}`;
    const process = start(t, 'script', ['-qec', line, '/dev/null'], {
        env: environment({ TERM: 'xterm-256color', SHELL: '/bin/sh', ...home.env, ...env }),
        cwd: home.dir,
    });
    return Object.assign(process, {
        // Changes the size as a window's frame would: its program is told.
        async resize(newRows, newColumns) {
            const name = await until(() => fs.existsSync(tty) && fs.readFileSync(tty, 'utf8').trim(), 'the terminal');
            spawnSync('stty', ['-F', name, 'rows', String(newRows), 'cols', String(newColumns)]);
        },
    });
}

// A screen of `rows` lines that scrolls; what scrolled out is kept in `gone`.
export class Screen {
    constructor(rows, columns) {
        Object.assign(this, { rows, columns, lines: [[]], gone: [], y: 0, x: 0, unknown: [] });
    }

    newLine() {
        if (this.y + 1 < this.rows) {
            this.y++;
        } else {
            this.gone.push(this.lines.shift());
        }
        while (this.lines.length <= this.y) this.lines.push([]);
    }

    put(char) {
        if (this.x >= this.columns) {
            this.x = 0;
            this.newLine();
        }
        this.lines[this.y][this.x++] = char;
    }

    control(parameters, letter) {
        const number = Number(parameters || '1');
        if (letter === 'm') return;
        if (letter === 'A') this.y = Math.max(0, this.y - number);
        else if (letter === 'K' && parameters === '2') this.lines[this.y] = [];
        else if (letter === 'K' && (parameters === '' || parameters === '0')) this.lines[this.y].length = this.x;
        else if (letter === 'J' && (parameters === '' || parameters === '0')) {
            this.lines[this.y].length = Math.min(this.lines[this.y].length, this.x);
            this.lines.length = this.y + 1;
        } else if (!['h', 'l'].includes(letter)) this.unknown.push(`${parameters}${letter}`);
    }

    write(text) {
        const pattern = /\x1b\[([?0-9;]*)([A-Za-z])|([\s\S])/gu;
        for (const [, parameters, letter, char] of text.matchAll(pattern)) {
            if (letter) this.control(parameters, letter);
            else if (char === '\r') this.x = 0;
            else if (char === '\n') this.newLine();
            else if (char < ' ' || char === '\x7f') this.unknown.push(JSON.stringify(char));
            else this.put(char);
        }
        return this;
    }

    // All lines a person could scroll to, without trailing blanks and empty lines at the end.
    text() {
        const all = [...this.gone, ...this.lines].map((line) => Array.from(line, (char) => char ?? ' ').join('').trimEnd());
        while (all.length && !all[all.length - 1]) all.pop();
        return all;
    }
}
