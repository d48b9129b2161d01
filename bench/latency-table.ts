const columns = ['command', 'way', 'connections', 'sessions', 'round trips', 'loopback', '50 ms'] as const;

/** What is known of one command over one way; several of these make one line of the table. */
export type LatencyRow = { command: string; way: string } & Partial<Record<(typeof columns)[number], string>>;

/** Joins the rows of one command and way, and leaves out columns nothing was measured for. */
export function renderLatencyTable(rows: LatencyRow[]): string {
  const joined = new Map<string, LatencyRow>();
  for (const row of rows) {
    const key = `${row.command} ${row.way}`;
    joined.set(key, { ...joined.get(key), ...row });
  }
  const sorted = [...joined.values()].sort((a, b) => order(rows, a) - order(rows, b));
  const shown = columns.filter((column) => sorted.some((row) => row[column] !== undefined));
  const lines = [shown, shown.map(() => '---'), ...sorted.map((row) => shown.map((column) => row[column] ?? ''))];
  return lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

/** Commands in the order in which they were measured first. */
function order(rows: LatencyRow[], { command }: LatencyRow): number {
  return rows.findIndex((row) => row.command === command);
}
