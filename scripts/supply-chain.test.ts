import { readFileSync } from 'node:fs'

import { describe, expect, it } from 'vitest'

const read = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')

describe('what is installed', () => {
  it('is what the lock file names, each by its hash and from no address of its own', () => {
    const lock = read('pnpm-lock.yaml')
    const resolutions = [...lock.matchAll(/^ {4}resolution: \{(.*)\}$/gm)].map((match) => match[1] ?? '')
    expect(resolutions.length).toBeGreaterThan(200)
    for (const resolution of resolutions) expect(resolution).toMatch(/^integrity: sha512-[\w+/]+=*$/)
  })

  it('runs no script of its own while it is installed', () => {
    const [, allowed = ''] = read('pnpm-workspace.yaml').split('allowBuilds:\n')
    const rules = [...allowed.matchAll(/^ {2}\S+: (\w+)$/gm)].map((match) => match[1])
    expect(rules.length).toBeGreaterThan(0)
    expect(new Set(rules)).toEqual(new Set(['false']))
  })
})
