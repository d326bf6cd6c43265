import type { NewProduct, NewSale } from '@blitzbuy/core/sale/sales'

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Long enough to find the button, short enough that an expired order can be watched. */
const PAYMENT_WINDOW_SECONDS = 300

/** A demo sale; its window is given in seconds from the start that adds it. */
export interface DemoSale extends Omit<NewSale, 'productId' | 'opensAt' | 'closesAt'> {
  product: NewProduct
  opensInSeconds: number
  closesInSeconds: number
  /** Units that each demo buyer has bought and paid, so that no expiry gives them back. */
  unitsPerBuyer: number
}

export const DEMO_BUYERS = 6

/** One sale for every phase, and a second open one in the other currency. */
export const DEMO_SALES: readonly DemoSale[] = [
  {
    product: {
      title: 'Aria wireless headphones',
      description:
        'Closed over-ear headphones with 40 hours of playtime, quiet ear pads you can replace yourself, and a wired mode for when the battery is flat.',
      imagePath: '/assets/products/wireless-headphones.svg',
    },
    priceCents: 7_900,
    listPriceCents: 14_900,
    currency: 'USD',
    quota: 200,
    opensInSeconds: -10 * MINUTE,
    closesInSeconds: 8 * HOUR,
    paymentWindowSeconds: PAYMENT_WINDOW_SECONDS,
    unitsPerBuyer: 1,
  },
  {
    product: {
      title: 'Brume pour-over kettle',
      description:
        'A gooseneck kettle for pour-over coffee: 0.9 litres, a thermometer in its side and a beech handle that stays cool.',
      imagePath: '/assets/products/pour-over-kettle.svg',
    },
    priceCents: 19_900,
    listPriceCents: 32_900,
    currency: 'CNY',
    quota: 80,
    unitsPerUser: 2,
    opensInSeconds: -25 * MINUTE,
    closesInSeconds: 6 * HOUR,
    paymentWindowSeconds: PAYMENT_WINDOW_SECONDS,
    unitsPerBuyer: 2,
  },
  {
    product: {
      title: 'Halcyon 75 mechanical keyboard',
      description:
        'A 75% keyboard with hot-swappable switches, thick PBT keycaps and an aluminium case. US layout, USB-C cable in the box.',
      imagePath: '/assets/products/mechanical-keyboard.svg',
    },
    priceCents: 8_900,
    listPriceCents: 15_900,
    currency: 'USD',
    quota: 50,
    // The processes still have to start: when the page can be opened, a minute is left.
    opensInSeconds: MINUTE + 10,
    closesInSeconds: 4 * HOUR,
    paymentWindowSeconds: PAYMENT_WINDOW_SECONDS,
    unitsPerBuyer: 0,
  },
  {
    product: {
      title: 'Pop instant camera',
      description:
        'Press the button, shake nothing: a credit-card-sized print in ninety seconds. With a built-in flash, a selfie mirror and film for ten pictures.',
      imagePath: '/assets/products/instant-camera.svg',
    },
    priceCents: 36_900,
    listPriceCents: 56_900,
    currency: 'CNY',
    quota: 120,
    unitsPerUser: 2,
    opensInSeconds: DAY,
    closesInSeconds: DAY + 6 * HOUR,
    paymentWindowSeconds: PAYMENT_WINDOW_SECONDS,
    unitsPerBuyer: 0,
  },
  {
    product: {
      title: 'Ridgeline trail shoes',
      description:
        'Light shoes for rough ground: a deep lugged sole, a rock plate under the forefoot and a toe cap that forgives every root.',
      imagePath: '/assets/products/trail-shoes.svg',
    },
    priceCents: 6_400,
    listPriceCents: 12_800,
    currency: 'USD',
    quota: 2 * DEMO_BUYERS,
    unitsPerUser: 2,
    opensInSeconds: -HOUR,
    closesInSeconds: 5 * HOUR,
    paymentWindowSeconds: PAYMENT_WINDOW_SECONDS,
    unitsPerBuyer: 2,
  },
  {
    product: {
      title: 'Lumen desk lamp',
      description:
        'A lamp with a long arm and warm, even light, dimmed by a turn of the foot. It remembers how bright you like your evenings.',
      imagePath: '/assets/products/desk-lamp.svg',
    },
    priceCents: 3_900,
    listPriceCents: 6_900,
    currency: 'USD',
    quota: 8,
    opensInSeconds: -DAY,
    closesInSeconds: -2 * HOUR,
    paymentWindowSeconds: PAYMENT_WINDOW_SECONDS,
    unitsPerBuyer: 1,
  },
]
