import { existsSync, readFileSync } from 'node:fs'

import { describe, expect, it } from 'vitest'

const text = readFileSync(new URL('../docs/asvs.md', import.meta.url), 'utf8')

/** How many requirements of level 1 and 2 each section of ASVS 5.0.0 has; they are numbered from 1, those of level 3 last. */
const SECTIONS: Record<string, number> = {
  '1.1': 2,
  '1.2': 9,
  '1.3': 11,
  '1.4': 3,
  '1.5': 2,
  '2.1': 3,
  '2.2': 3,
  '2.3': 4,
  '2.4': 1,
  '3.2': 2,
  '3.3': 4,
  '3.4': 6,
  '3.5': 5,
  '3.7': 2,
  '4.1': 3,
  '4.2': 1,
  '4.3': 2,
  '4.4': 4,
  '6.1': 3,
  '6.2': 12,
  '6.3': 4,
  '6.4': 4,
  '6.5': 5,
  '6.6': 3,
  '6.8': 4,
  '7.1': 3,
  '7.2': 4,
  '7.3': 2,
  '7.4': 5,
  '7.5': 2,
  '7.6': 2,
  '8.1': 2,
  '8.2': 3,
  '8.3': 1,
  '8.4': 1,
  '9.1': 3,
  '9.2': 4,
  '11.1': 2,
  '11.2': 3,
  '11.3': 3,
  '11.4': 4,
  '11.5': 1,
  '11.6': 1,
  '12.1': 3,
  '12.2': 2,
  '12.3': 4,
  '13.1': 1,
  '13.2': 5,
  '13.3': 2,
  '13.4': 5,
  '14.1': 2,
  '14.2': 4,
  '14.3': 3,
  '15.1': 3,
  '15.2': 3,
  '15.3': 7,
  '16.1': 1,
  '16.2': 5,
  '16.3': 4,
  '16.4': 3,
  '16.5': 3,
}

describe('docs/asvs.md', () => {
  it('answers every requirement once, and says there, n/a or open', () => {
    const rows = [...text.matchAll(/^\| ((?:\d+\.\d+\.\d+(?:, )?)+) \|.*\| ([^|]+) \|$/gm)]
    const answered = rows.flatMap((row) => (row[1] ?? '').split(', '))
    const required = Object.entries(SECTIONS).flatMap(([section, count]) =>
      Array.from({ length: count }, (_, at) => `${section}.${at + 1}`),
    )
    expect(answered.toSorted()).toEqual(required.toSorted())
    for (const row of rows) expect(row[2]).toMatch(/^(?:there: |n\/a|open)/)
  })

  it('names only files that exist', () => {
    const files = [...text.matchAll(/`([\w./-]+\.(?:ts|eta|js|yaml))`/g)].map((match) => match[1] ?? '')
    expect(files.length).toBeGreaterThan(50)
    const missing = files.filter((file) =>
      ['', 'packages/api/test/', 'packages/api/src/routes/pages/'].every(
        (folder) => !existsSync(new URL(`../${folder}${file}`, import.meta.url)),
      ),
    )
    expect(missing).toEqual([])
  })
})
