import { existsSync } from 'node:fs'

import { StepFailed } from '../steps.mjs'
import { canInstallWithApt, installWithApt } from './apt.ts'

/** Where the browser tests find their browser. */
export function chromiumPath(): string {
  return process.env.CHROMIUM_PATH || '/usr/bin/chromium'
}

/** Sees to a browser for the tests; throws, in words, where there is none and none can be had. */
export async function findOrInstallChromium(
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const path = chromiumPath()
  if (existsSync(path)) return path
  if (!process.env.CHROMIUM_PATH && canInstallWithApt()) await installWithApt(['chromium'], say, signal)
  if (existsSync(path)) return path
  throw new StepFailed(
    `The browser tests need Chromium, and there is none at ${path}. Install it (on Debian as root: apt-get install chromium) or set CHROMIUM_PATH.`,
  )
}
