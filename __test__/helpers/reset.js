'use strict';

/**
 * Closes a net.Socket with RST. While its FIN is on the way to the kernel Node cannot do that (EINVAL), and the
 * socket would never close.
 */
function reset(socket) {
  if (socket.writableEnded && !socket.writableFinished) socket.once('finish', () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}

module.exports = { reset };
