// What a service that has stopped leaves open at its receivers: nothing.
import { expect, test } from 'vitest';
import { rawReceiver } from '../outbound/raw-receiver.ts';
import { startApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';

test('a stop closes the idle connections to receivers', async () => {
  let open = 0;
  const receiver = await rawReceiver((socket, { number }) => {
    if (number === 1) {
      open += 1;
      socket.once('close', () => (open -= 1));
    }
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
  });
  const service = await startApp();
  try {
    const admin = await service.as('operator', 'admin');
    await createWebhook(admin, receiver.url, { user_id: 'user1' });
    await publish(admin, ['user1']);
    await eventually(() => receiver.requests.length === 1);
    expect(open).toBe(1);
    await service.app.drain();
    // What is left to do is the receiver's: to notice. Left alone the connection would stay for four seconds.
    await eventually(() => open === 0, { deadlineMs: 500, what: 'the connection closed' });
  } finally {
    await service.close();
    await receiver.close();
  }
});
