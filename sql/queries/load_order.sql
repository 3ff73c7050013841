-- One order as its actor holds it.
SELECT version, number, conflict, paid_at, shipped_at, delivered_at, cancelled_at, customer, document, memory
FROM orders
WHERE order_id = $1
