// What PM2 runs on a host. All roles, or one:
//
//   pm2 start ecosystem.config.cjs --only order-worker
//
// Settings come from the environment, or from the file that BLITZBUY_ENV_FILE names (.env beside this file unless it
// is set); a reload reads the file again. How many hosts and how they are set up: docs/operations.md.

const { existsSync } = require('node:fs')
const { join } = require('node:path')

const envFile = process.env.BLITZBUY_ENV_FILE ?? join(__dirname, '.env')

/** A process has 9 s to finish what it has begun (core/src/run-process.ts); PM2's default would kill it after 1.6 s. */
const KILL_TIMEOUT_MS = 15_000
/** Until the stores are connected. After that PM2 goes on as if the process were ready. */
const READY_TIMEOUT_MS = 30_000

function role(name, options) {
  return {
    name,
    cwd: __dirname,
    script: join('packages', name, 'dist', 'main.js'),
    node_args: [
      '--enable-source-maps',
      '--max-semi-space-size=64',
      ...(existsSync(envFile) ? [`--env-file=${envFile}`] : []),
    ],
    // Ready means: /readyz says so. A reload ends the old process only then.
    wait_ready: true,
    listen_timeout: READY_TIMEOUT_MS,
    kill_timeout: KILL_TIMEOUT_MS,
    // A process that cannot start is tried again after 0.2 s, 0.3 s, … 15 s.
    exp_backoff_restart_delay: 200,
    // Its log lines carry their own time and process.
    time: false,
    merge_logs: true,
    vizion: false,
    ...options,
  }
}

/** The processes of one role on one host count their health ports on from here: 3100, 3101, … */
function healthPort(name, first) {
  return { HEALTH_PORT: process.env[variableOf(name, 'HEALTH_PORT')] ?? String(first) }
}

/** How many of a role run on this host, e.g. ORDER_WORKER_INSTANCES=2. */
function instances(name, unlessSet) {
  return process.env[variableOf(name, 'INSTANCES')] ?? unlessSet
}

/** The variable of one role, e.g. ORDER_WORKER_HOSTS. */
function variableOf(name, what) {
  return `${name.toUpperCase().replace('-', '_')}_${what}`
}

/** Where `pm2 deploy <role>` goes; see docs/operations.md. */
function deployTo(name) {
  return {
    user: process.env.DEPLOY_USER ?? 'blitzbuy',
    host: (process.env[variableOf(name, 'HOSTS')] ?? '').split(',').filter(Boolean),
    ref: process.env.DEPLOY_REF ?? 'origin/main',
    repo: process.env.DEPLOY_REPO ?? '',
    path: process.env.DEPLOY_PATH ?? '/srv/blitzbuy',
    'post-deploy': `pnpm install --frozen-lockfile && pnpm build && pm2 startOrReload ecosystem.config.cjs --only ${name} && pm2 save`,
  }
}

module.exports = {
  apps: [
    role('api', {
      // One listening socket for all of them, held by PM2: no connection is refused while they are reloaded.
      exec_mode: 'cluster',
      instances: instances('api', 'max'),
      max_memory_restart: '1G',
      env: healthPort('api', 3100),
    }),
    role('order-worker', {
      exec_mode: 'fork',
      instances: instances('order-worker', 1),
      env: healthPort('order-worker', 3200),
    }),
    role('stock-warmer', {
      exec_mode: 'fork',
      instances: instances('stock-warmer', 1),
      env: healthPort('stock-warmer', 3300),
    }),
  ],
  deploy: {
    api: deployTo('api'),
    'order-worker': deployTo('order-worker'),
    'stock-warmer': deployTo('stock-warmer'),
  },
}
