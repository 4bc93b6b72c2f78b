// Asks a Prometheus all that the dashboard would, over the last MINUTES, with "All" chosen everywhere:
// capture.mjs DASHBOARD PROMETHEUS MINUTES OUT
import { readFileSync, writeFileSync } from 'node:fs';

const [board, prometheus, minutes, out] = process.argv.slice(2);
const dashboard = JSON.parse(readFileSync(board, 'utf8'));
const step = 5;
const end = Math.floor(Date.now() / 1000 / step) * step;
const start = end - Number(minutes) * 60;
const own = { __rate_interval: '30s', __interval: `${step}s`, __range: `${minutes}m` };

async function ask(target) {
  const query = target.expr.replace(/\$\{?(\w+)\}?/g, (_, name) => own[name] ?? '.*');
  const [path, times] = target.instant ? ['query', { time: end }] : ['query_range', { start, end, step }];
  const url = `${prometheus}/api/v1/${path}?${new URLSearchParams({ query, ...times })}`;
  const answer = await (await fetch(url)).json();
  if (answer.status !== 'success') throw new Error(`${query}: ${JSON.stringify(answer)}`);
  return answer.data.result;
}

const answers = {};
for (const panel of dashboard.panels) {
  for (const target of panel.targets ?? []) {
    (answers[panel.id] ??= {})[target.refId] = await ask(target);
  }
}
writeFileSync(out, JSON.stringify({ dashboard, answers, start, end }));
