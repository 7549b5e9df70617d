// The documented event types, with which every catalogue begins. The first migration of the catalogue writes them into their table.
import type { EventPriority } from './event-type.ts';
import type { JsonObject } from './payload.ts';

export interface DocumentedType {
  readonly name: string;
  /** What has happened when it is sent. */
  readonly description: string;
  readonly defaultPriority: EventPriority;
  /** What `data` looks like; valid against `schema`. */
  readonly sample: JsonObject;
  /** The JSON Schema of `data`, draft 2020-12. Open to further properties: publishers may add, receivers must not mind. */
  readonly schema: JsonObject;
}

const id = (description: string): JsonObject => ({ type: 'string', minLength: 1, description });
const text = (description: string): JsonObject => ({ type: 'string', description });
const moment = (description: string): JsonObject => ({ type: 'string', format: 'date-time', description });
const money = (description: string): JsonObject => ({ type: 'number', minimum: 0, description });
const currency: JsonObject = { type: 'string', pattern: '^[A-Z]{3}$', description: 'ISO 4217 code.' };

const items: JsonObject = {
  type: 'array',
  minItems: 1,
  description: 'What was ordered.',
  items: {
    type: 'object',
    properties: {
      dish_id: id('The dish.'),
      name: text('Its name on the menu.'),
      quantity: { type: 'integer', minimum: 1, description: 'How many.' },
      unit_price: money('The price of one.'),
    },
    required: ['dish_id', 'name', 'quantity', 'unit_price'],
  },
};

function schemaOf(title: string, properties: JsonObject, required: string[]): JsonObject {
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', title, type: 'object', properties, required };
}

export const eventTypes: readonly DocumentedType[] = [
  {
    name: 'order.created',
    description: 'A customer placed an order.',
    defaultPriority: 'normal',
    sample: {
      order_id: 'order_8f14e45f',
      customer_id: 'user_1679091c',
      chef_id: 'chef_c9f0f895',
      status: 'created',
      items: [{ dish_id: 'dish_45c48cce', name: 'Lamb biryani', quantity: 2, unit_price: 14.5 }],
      total_amount: 32.5,
      currency: 'EUR',
      delivery_address: '12 Rue des Lilas, 75019 Paris',
      created_at: '2024-01-15T10:30:00.000Z',
    },
    schema: schemaOf(
      'order.created',
      {
        order_id: id('The order.'),
        customer_id: id('Who ordered.'),
        chef_id: id('Who is to cook.'),
        status: { const: 'created' },
        items,
        total_amount: money('With delivery and fees.'),
        currency,
        delivery_address: text('Where it goes.'),
        created_at: moment('When it was placed.'),
      },
      ['order_id', 'customer_id', 'chef_id', 'status', 'items', 'total_amount', 'currency', 'created_at'],
    ),
  },
  {
    name: 'order.completed',
    description: 'An order reached the customer.',
    defaultPriority: 'normal',
    sample: {
      order_id: 'order_8f14e45f',
      customer_id: 'user_1679091c',
      chef_id: 'chef_c9f0f895',
      status: 'completed',
      total_amount: 32.5,
      currency: 'EUR',
      completed_at: '2024-01-15T11:24:00.000Z',
    },
    schema: schemaOf(
      'order.completed',
      {
        order_id: id('The order.'),
        customer_id: id('Who ordered.'),
        chef_id: id('Who cooked.'),
        status: { const: 'completed' },
        total_amount: money('What was paid, without the tip.'),
        currency,
        completed_at: moment('When it was handed over.'),
      },
      ['order_id', 'customer_id', 'chef_id', 'status', 'total_amount', 'currency', 'completed_at'],
    ),
  },
  {
    name: 'order.cancelled',
    description: 'An order was called off before it was delivered.',
    defaultPriority: 'normal',
    sample: {
      order_id: 'order_8f14e45f',
      customer_id: 'user_1679091c',
      chef_id: 'chef_c9f0f895',
      status: 'cancelled',
      cancelled_by: 'customer',
      reason: 'Ordered by mistake',
      refund_amount: 32.5,
      currency: 'EUR',
      cancelled_at: '2024-01-15T10:36:00.000Z',
    },
    schema: schemaOf(
      'order.cancelled',
      {
        order_id: id('The order.'),
        customer_id: id('Who ordered.'),
        chef_id: id('Who was to cook.'),
        status: { const: 'cancelled' },
        cancelled_by: { enum: ['customer', 'chef', 'platform'], description: 'Who called it off.' },
        reason: text('In the words of the person who did.'),
        refund_amount: money('What goes back to the customer.'),
        currency,
        cancelled_at: moment('When it was called off.'),
      },
      ['order_id', 'customer_id', 'chef_id', 'status', 'cancelled_by', 'cancelled_at'],
    ),
  },
  {
    name: 'payment.success',
    description: 'A payment was captured.',
    defaultPriority: 'high',
    sample: {
      payment_id: 'payment_6512bd43',
      order_id: 'order_8f14e45f',
      customer_id: 'user_1679091c',
      amount: 32.5,
      currency: 'EUR',
      method: 'card',
      paid_at: '2024-01-15T10:30:12.000Z',
    },
    schema: schemaOf(
      'payment.success',
      {
        payment_id: id('The payment.'),
        order_id: id('What was paid for.'),
        customer_id: id('Who paid.'),
        amount: money('How much.'),
        currency,
        method: { enum: ['card', 'wallet', 'bank_transfer', 'cash'], description: 'How.' },
        paid_at: moment('When it was captured.'),
      },
      ['payment_id', 'order_id', 'customer_id', 'amount', 'currency', 'method', 'paid_at'],
    ),
  },
  {
    name: 'payment.failed',
    description: 'A payment was declined or could not be made.',
    defaultPriority: 'high',
    sample: {
      payment_id: 'payment_6512bd43',
      order_id: 'order_8f14e45f',
      customer_id: 'user_1679091c',
      amount: 32.5,
      currency: 'EUR',
      method: 'card',
      failure_code: 'card_declined',
      failure_message: 'The issuer declined the payment.',
      failed_at: '2024-01-15T10:30:12.000Z',
    },
    schema: schemaOf(
      'payment.failed',
      {
        payment_id: id('The payment.'),
        order_id: id('What was to be paid for.'),
        customer_id: id('Who was to pay.'),
        amount: money('How much.'),
        currency,
        method: { enum: ['card', 'wallet', 'bank_transfer', 'cash'], description: 'How.' },
        failure_code: id('Why, for programs.'),
        failure_message: text('Why, for people.'),
        failed_at: moment('When it failed.'),
      },
      ['payment_id', 'order_id', 'customer_id', 'amount', 'currency', 'failure_code', 'failed_at'],
    ),
  },
  {
    name: 'tip.received',
    description: 'A customer tipped a chef or a courier.',
    defaultPriority: 'normal',
    sample: {
      tip_id: 'tip_c20ad4d7',
      order_id: 'order_8f14e45f',
      customer_id: 'user_1679091c',
      recipient_id: 'chef_c9f0f895',
      recipient_type: 'chef',
      amount: 4,
      currency: 'EUR',
      message: 'Best biryani in town!',
      received_at: '2024-01-15T12:02:00.000Z',
    },
    schema: schemaOf(
      'tip.received',
      {
        tip_id: id('The tip.'),
        order_id: id('The order it thanks for.'),
        customer_id: id('Who tipped.'),
        recipient_id: id('Who gets it.'),
        recipient_type: { enum: ['chef', 'courier'], description: 'What the recipient is.' },
        amount: money('How much.'),
        currency,
        message: text('What the customer said.'),
        received_at: moment('When it was given.'),
      },
      ['tip_id', 'order_id', 'customer_id', 'recipient_id', 'recipient_type', 'amount', 'currency', 'received_at'],
    ),
  },
  {
    name: 'chef.approved',
    description: 'A chef passed the checks and may take orders.',
    defaultPriority: 'normal',
    sample: {
      chef_id: 'chef_c9f0f895',
      user_id: 'user_e4da3b7f',
      name: 'Amina Rahman',
      cuisines: ['bengali', 'mughlai'],
      kitchen_city: 'Paris',
      approved_at: '2024-01-15T09:00:00.000Z',
    },
    schema: schemaOf(
      'chef.approved',
      {
        chef_id: id('The chef.'),
        user_id: id('The account behind.'),
        name: text('As shown to customers.'),
        cuisines: { type: 'array', items: { type: 'string' }, description: 'What the chef cooks.' },
        kitchen_city: text('Where the kitchen is.'),
        approved_at: moment('When the approval was given.'),
      },
      ['chef_id', 'user_id', 'name', 'approved_at'],
    ),
  },
  {
    name: 'delivery.assigned',
    description: 'A courier took on the delivery of an order.',
    defaultPriority: 'normal',
    sample: {
      delivery_id: 'courier_run_aab32389',
      order_id: 'order_8f14e45f',
      courier_id: 'courier_9bf31c7f',
      courier_name: 'Luc Moreau',
      pickup_address: '5 Place de la République, 75003 Paris',
      dropoff_address: '12 Rue des Lilas, 75019 Paris',
      estimated_delivery_at: '2024-01-15T11:20:00.000Z',
      assigned_at: '2024-01-15T10:48:00.000Z',
    },
    schema: schemaOf(
      'delivery.assigned',
      {
        delivery_id: id('The run of the courier; not a webhook delivery.'),
        order_id: id('What is delivered.'),
        courier_id: id('Who delivers.'),
        courier_name: text('As shown to the customer.'),
        pickup_address: text('From where.'),
        dropoff_address: text('To where.'),
        estimated_delivery_at: moment('When it should arrive.'),
        assigned_at: moment('When the courier accepted.'),
      },
      ['delivery_id', 'order_id', 'courier_id', 'assigned_at'],
    ),
  },
];
