import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

import { DockerfileParser } from 'dockerfile-ast'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { useOwnStores } from '../packages/core/test/own-stores.ts'
import { runOrFail } from '../scripts/run.mjs'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { answers, useProcesses } from './running-blitzbuy.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const PACKAGE = 'stock-warmer'

const stores = useOwnStores()
const system = useProcesses(stores)
let folder: TemporaryFolder
const image = (path: string) => join(folder.path, path)

/*
 * No engine builds the image here, so its own instructions are followed one by one on this machine: what they copy,
 * what they run, and what they start.
 */
describe('the Dockerfile, step by step', () => {
  beforeAll(async () => {
    folder = await makeTemporaryFolder()
  })
  afterAll(() => folder.remove())

  it('builds a package from what it copies, with the versions of the lock file', async () => {
    const dockerfile = DockerfileParser.parse(readFileSync(join(root, 'docker/Dockerfile'), 'utf8'))
    for (const instruction of dockerfile.getInstructions()) {
      const text = instruction.getArgumentsContent() ?? ''
      if (instruction.getRange().start.line >= lineOf(dockerfile.getInstructions(), 'AS tools')) break
      if (instruction.getKeyword() === 'COPY') copy(text)
      if (instruction.getKeyword() === 'RUN' && !text.startsWith('npm install --global')) await runStep(text)
    }

    expect(existsSync(image('app/dist/main.js'))).toBe(true)
    const lock = readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8')
    // name@version, with more behind a _ where a package has peers; scopes are written with a +.
    const deployed = readdirSync(image('app/node_modules/.pnpm')).filter((name) =>
      /^[^_]+@\d[^_]*$/.test(name),
    )
    expect(deployed.length).toBeGreaterThan(40)
    expect(deployed.filter((name) => !lock.includes(name.replace('+', '/')))).toEqual([])
    // Neither sources nor tests nor what only a developer needs.
    for (const path of ['src', 'test', 'node_modules/vitest', 'node_modules/@blitzbuy/core/src']) {
      expect([path, existsSync(image(`app/${path}`))]).toEqual([path, false])
    }
  }, 240_000)

  it('brings the code of its threads', async () => {
    const core = image('app/node_modules/@blitzbuy/core/dist')
    const script = image('use-threads.mjs')
    writeFileSync(
      script,
      `import { createCaptchaDrawer } from '${core}/gate/draw-captcha.js'
       import { createHashWorkers } from '${core}/user/hash-workers.js'
       const drawer = createCaptchaDrawer()
       const hashes = createHashWorkers(1)
       // Threads alone keep no process alive.
       const alive = setInterval(() => {}, 1_000)
       const hash = await hashes.hash('correct horse')
       console.log(await hashes.verify(hash, 'correct horse'), (await drawer.draw('ABCDEF')).length > 1_000)
       clearInterval(alive)`,
    )
    expect((await runOrFail(process.execPath, [script])).trim()).toBe('true true')
  }, 60_000)

  it('makes the tables with the command of the migrate service', async () => {
    const script = image('app/node_modules/@blitzbuy/core/dist/mysql/run-migrations.js')
    const env = { PATH: process.env.PATH, MYSQL_URL: stores.mysqlUrl, NODE_ENV: 'test' }
    expect((await runOrFail(process.execPath, [script], { cwd: image('app'), env })).trim()).toBe(
      'the tables are those of this release',
    )
  })

  it('starts with the image’s command, is healthy by its health check, and ends at SIGTERM', async () => {
    const text = readFileSync(join(root, 'docker/Dockerfile'), 'utf8')
    const [health, start] = [...text.matchAll(/CMD (\[.*\])$/gm)].map(
      (match) => JSON.parse(match[1] as string) as string[],
    ) as [string[], string[]]
    const healthPort = await system.freePort()
    const env = system.environment(await system.freePort(), healthPort)
    const child = spawn(process.execPath, start.slice(1), { cwd: image('app'), env, stdio: 'ignore' })
    await answers(`http://127.0.0.1:${healthPort}/readyz`)
    await runOrFail(process.execPath, health.slice(1), { env })
    const wrong = { ...env, HEALTH_PORT: String(await system.freePort()) }
    await expect(runOrFail(process.execPath, health.slice(1), { env: wrong })).rejects.toThrow()

    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  }, 120_000)

  /** `COPY a b target`, into the folder that stands for the image. */
  function copy(text: string): void {
    const parts = text.split(/\s+/)
    const target = parts.pop() === './' ? '' : (text.split(/\s+/).at(-1) as string)
    for (const source of parts) {
      cpSync(join(root, source), image(join('repo', target === '' ? source : target)), {
        recursive: true,
        // As docker/Dockerfile.dockerignore has it.
        filter: (path) =>
          !/(^|\/)(node_modules|dist|\.turbo|[^/]+\.test\.ts)$|^packages\/[^/]+\/test$/.test(
            relative(root, path),
          ),
      })
    }
  }

  /** `RUN …`, as the shell of the image would run it. The stores of packages are this machine's. */
  function runStep(text: string): Promise<string> {
    const command = text
      .replaceAll(/--mount=\S+|--store-dir=\S+|\\\n/g, ' ')
      .replaceAll('${PACKAGE}', PACKAGE)
      .replace(/ \/app\s*$/, ` ${image('app')}`)
    return runOrFail('/bin/sh', ['-c', command], {
      cwd: image('repo'),
      env: {
        ...process.env,
        CI: 'true',
        TURBO_TELEMETRY_DISABLED: '1',
        PATH: `${pnpmFolder()}:${process.env.PATH}`,
      },
    })
  }
})

function pnpmFolder(): string {
  return join(root, '.blitzbuy', 'tools', 'node_modules', '.bin')
}

function lineOf(
  instructions: { getRange(): { start: { line: number } }; getArgumentsContent(): string | null }[],
  mark: string,
): number {
  return (
    instructions.find((one) => one.getArgumentsContent()?.endsWith(mark))?.getRange().start.line ?? Infinity
  )
}
