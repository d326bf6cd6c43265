import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

import { waitForLock } from '../lock.mjs'
import { root } from '../prepare.mjs'
import { lastLines, run, runOrFail } from '../run.mjs'
import { StepFailed } from '../steps.mjs'
import { findProgram } from './programs.ts'

const LOCK_WAIT_SECONDS = 120
const POLICY_FILE = '/usr/sbin/policy-rc.d'
const POLICY = `#!/bin/sh
# Made by BlitzBuy while it installs packages, so that none of them starts a service. Safe to remove.
exit 101
`

/** The services that come with a package and that nobody asked for. */
const servicesOf: Record<string, string[]> = {
  'mariadb-server': ['mariadb'],
  'redis-server': ['redis-server'],
  nginx: ['nginx'],
  'rabbitmq-server': ['rabbitmq-server', 'epmd'],
  prometheus: ['prometheus'],
}

/** Whether this is root on Debian or one of its children. */
export function canInstallWithApt(): boolean {
  if (process.getuid?.() !== 0 || findProgram('apt-get') === undefined) return false
  try {
    return /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(readFileSync('/etc/os-release', 'utf8'))
  } catch {
    return false
  }
}

/** Installs packages, and leaves no service of theirs running or enabled. */
export async function installWithApt(
  packages: string[],
  say: (line: string) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  // A test run and a start may come here at the same time, and both would make and remove the policy file.
  const options = signal ? { signal } : {}
  const release = await waitForLock(join(root, '.blitzbuy', 'apt.lock'), options)
  try {
    const missing = packages.filter((name) => !isInstalled(name))
    if (missing.length === 0) return
    say(`  · installing with apt-get: ${missing.join(', ')} (their services stay off) …`)
    await withServicesHeldBack(() => install(missing, signal))
    for (const service of missing.flatMap((name) => servicesOf[name] ?? [])) await disable(service)
  } finally {
    release()
  }
}

async function install(packages: string[], signal: AbortSignal | undefined): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const lock = ['-o', `DPkg::Lock::Timeout=${LOCK_WAIT_SECONDS}`]
  await update(lock, env, signal)
  // An installation that was stopped half-way, ours or another's, would make apt-get refuse; else this does nothing.
  await run('dpkg', ['--configure', '-a'], { env, signal })
  await runOrFail('apt-get', [...lock, 'install', '-y', '--no-install-recommends', ...packages], {
    env,
    signal,
  })
}

/** The lists have a lock that apt-get does not wait for, whatever it is told. */
async function update(
  lock: string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadlineMs = performance.now() + LOCK_WAIT_SECONDS * 1000
  for (;;) {
    const { code, output } = await run('apt-get', [...lock, 'update'], { env, signal })
    if (code === 0) return
    const isHeld = output.includes('Could not get lock')
    if (!isHeld || performance.now() > deadlineMs) {
      throw new StepFailed(`\`apt-get update\` failed:\n\n${lastLines(output)}`)
    }
    await sleep(1000)
  }
}

async function withServicesHeldBack(work: () => Promise<void>): Promise<void> {
  if (existsSync(POLICY_FILE)) {
    // One that a killed run of ours left behind is still ours to remove.
    if (readFileSync(POLICY_FILE, 'utf8') !== POLICY) return work()
  } else {
    writeFileSync(POLICY_FILE, POLICY, { mode: 0o755 })
  }
  const remove = () => rmSync(POLICY_FILE, { force: true })
  process.on('exit', remove)
  try {
    await work()
  } finally {
    process.off('exit', remove)
    remove()
  }
}

/** Every way in which a package enables itself: systemd's units (also where it does not run now) and /etc/rc*.d. */
async function disable(service: string): Promise<void> {
  const units = [`${service}.socket`, `${service}.service`]
  if (existsSync('/run/systemd/system')) await run('systemctl', ['disable', '--now', ...units])
  else if (findProgram('deb-systemd-helper')) {
    // Debian's own, which made the links where systemd does not run; it refuses whoever seems not to be dpkg.
    const env = { ...process.env, DPKG_MAINTSCRIPT_PACKAGE: 'blitzbuy' }
    await run('deb-systemd-helper', ['disable', ...units], { env })
  }
  if (existsSync(join('/etc/init.d', service)) && findProgram('update-rc.d')) {
    await run('update-rc.d', [service, 'disable'])
  }
}

function isInstalled(name: string): boolean {
  try {
    const status = readFileSync('/var/lib/dpkg/status', 'utf8')
    const entry = status.split('\n\n').find((text) => text.startsWith(`Package: ${name}\n`))
    return entry?.includes('\nStatus: install ok installed') ?? false
  } catch {
    return false
  }
}
