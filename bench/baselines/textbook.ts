import { connect, type ChannelModel } from 'amqplib'
import { Redis } from 'ioredis'
import mysql, { type Pool } from 'mysql2/promise'

/** Buys one unit for this buyer; false when the sale is sold out. */
export type Buy = (saleId: number, buyer: string) => Promise<boolean>

export interface Textbook {
  mysql: Pool
  redis: Redis
  rabbitmq: ChannelModel
}

export const TABLES = [
  `CREATE TABLE IF NOT EXISTS textbook_sales (
     id BIGINT PRIMARY KEY, quota INT NOT NULL, units_sold INT NOT NULL DEFAULT 0)`,
  `CREATE TABLE IF NOT EXISTS textbook_orders (
     id BIGINT AUTO_INCREMENT PRIMARY KEY, sale_id BIGINT NOT NULL, buyer VARCHAR(64) NOT NULL,
     UNIQUE (sale_id, buyer))`,
]

const CONNECTIONS = 20

export async function connectTextbook(env: NodeJS.ProcessEnv): Promise<Textbook> {
  return {
    mysql: mysql.createPool({ uri: env.MYSQL_URL as string, connectionLimit: CONNECTIONS }),
    redis: new Redis(env.REDIS_URL as string, { keyPrefix: `${env.NAMESPACE}:textbook:` }),
    rabbitmq: await connect(env.AMQP_URL as string, { noDelay: true }),
  }
}
