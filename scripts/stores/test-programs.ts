import { existsSync } from 'node:fs'

import { StepFailed } from '../steps.mjs'
import { canInstallWithApt, installWithApt } from './apt.ts'

/** A program that tests need beside the stores. */
export interface TestProgram {
  name: string
  /** Where Debian's package puts it. */
  path: string
  debianPackage: string
  /** The variable that names another place. */
  variable: string
}

export const CHROMIUM: TestProgram = {
  name: 'Chromium',
  path: '/usr/bin/chromium',
  debianPackage: 'chromium',
  variable: 'CHROMIUM_PATH',
}

/** Reads pictures of text: the attack that captchas must stand. */
export const TESSERACT: TestProgram = {
  name: 'Tesseract',
  path: '/usr/bin/tesseract',
  debianPackage: 'tesseract-ocr',
  variable: 'TESSERACT_PATH',
}

/** Comes with Prometheus, which reads our metrics, rules and dashboards in a test. */
export const PROMETHEUS: TestProgram = {
  name: 'Prometheus',
  path: '/usr/bin/prometheus',
  debianPackage: 'prometheus',
  variable: 'PROMETHEUS_PATH',
}

/** Runs the shipped configuration of the edge, and balances several apis. */
export const NGINX: TestProgram = {
  name: 'nginx',
  path: '/usr/sbin/nginx',
  debianPackage: 'nginx',
  variable: 'NGINX_PATH',
}

/** Lays out several hosts on one machine. */
export const IPROUTE2: TestProgram = {
  name: 'iproute2',
  path: '/usr/sbin/ip',
  debianPackage: 'iproute2',
  variable: 'IP_PATH',
}

/** Makes the certificates of tests that speak TLS. */
export const OPENSSL: TestProgram = {
  name: 'OpenSSL',
  path: '/usr/bin/openssl',
  debianPackage: 'openssl',
  variable: 'OPENSSL_PATH',
}

/** Sees to a program for the tests; throws, in words, where there is none and none can be had. */
export async function findOrInstall(
  program: TestProgram,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const { name, debianPackage, variable } = program
  const given = process.env[variable]
  const path = given || program.path
  if (existsSync(path)) return path
  if (!given && canInstallWithApt()) await installWithApt([debianPackage], say, signal)
  if (existsSync(path)) return path
  throw new StepFailed(
    `The tests need ${name}, and there is none at ${path}. Install it (on Debian as root: apt-get install ${debianPackage}) or set ${variable}.`,
  )
}
