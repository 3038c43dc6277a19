// A small shop in Express. It knows nothing of OpenTelemetry.

const PRODUCTS = new Map(Array.from({ length: 9 }, (_, n) => [n + 1, `product ${n + 1}`]));

/** Listens on a free port and returns the server. `express` is loaded by the caller, after what shall see it. */
export function listen(express) {
  const app = express();
  app.use(express.json());
  app.get('/products', (request, response) => {
    response.json([...PRODUCTS.values()].filter((name) => name.includes(request.query.q ?? '')));
  });
  app.get('/products/:number', (request, response) => {
    const name = PRODUCTS.get(Number(request.params.number));
    response.status(name ? 200 : 404).send(name ?? 'no such product');
  });
  app.post('/orders', (request, response) => {
    response.status(201).json({ ordered: request.body.product });
  });
  const order = (request, response) => response.json({ order: Number(request.params.number) });
  app.get('/orders/:number', order);
  app.put('/orders/:number', order);
  app.delete('/orders/:number', (_request, response) => response.status(204).end());
  app.get('/reports', () => {
    throw new Error('the planted failure');
  });
  // Express knows a handler of errors by its four arguments.
  app.use((error, _request, response, _next) => response.status(500).send(error.message));
  return app.listen(0, '127.0.0.1');
}
