import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { describe, expect, it } from 'vitest'

import { en } from '../src/messages/en.ts'

describe('the text catalogue', () => {
  const folder = fileURLToPath(new URL('../views', import.meta.url))
  const views = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    // Those of operators are in English alone.
    .filter((name) => name.endsWith('.eta') && !name.startsWith('admin'))
    .map((name) => readFileSync(`${folder}/${name}`, 'utf8'))
    .join('\n')

  it('has every text that a template names, and no template has words of its own', () => {
    const named = [...views.matchAll(/\bt\((?:[^()'`]*\? )?'([\w.-]+)'(?: : '([\w.-]+)')?/g)].flatMap(
      ([, a, b]) => [a, b],
    )
    const missing = named.filter((key) => key !== undefined && !(key in en))
    expect(named.length).toBeGreaterThan(50)
    expect(missing).toEqual([])
    const bare = views.replaceAll(/<%[\s\S]*?%>/g, '').replaceAll(/<[^>]*>/g, '')
    expect(bare.replaceAll(/[\s–←]/g, '')).toBe('')
  })

  it('has every text that the script names', () => {
    const clientFolder = fileURLToPath(new URL('../client', import.meta.url))
    const script = readdirSync(clientFolder)
      .map((name) => readFileSync(`${clientFolder}/${name}`, 'utf8'))
      .join('\n')
    const named = [...script.matchAll(/\btext\((?:\w+ \? )?'([\w-]+)'(?: : '([\w-]+)')?/g)].flatMap(
      ([, ...keys]) => keys.flatMap((key) => (key ? [`client.${key}`] : [])),
    )
    expect(named.length).toBeGreaterThan(15)
    expect(named.filter((key) => !(key in en))).toEqual([])
  })
})
