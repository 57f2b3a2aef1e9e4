// SPDX-License-Identifier: Apache-2.0
//
// The same in node, for streams and WebSockets: whatever comes is sent on unchanged.
//
//	node middleware.js ADDRESS PORT PROXY-ADDRESS PROXY-PORT
const http = require('http'), https = require('https');
const [address, port, proxy, proxyPort] = process.argv.slice(2);

function target(request) {
	return {
		host: proxy, port: proxyPort, servername: request.headers.host.split(':')[0],
		rejectUnauthorized: false, method: request.method, path: request.url, headers: request.headers,
	};
}

const server = http.createServer((request, response) => {
	const on = https.request(target(request), answer => {
		response.writeHead(answer.statusCode, answer.headers);
		answer.pipe(response);
	});
	on.on('error', error => response.destroy(error));
	response.on('close', () => on.destroy());
	request.pipe(on);
});
server.on('upgrade', (request, socket, head) => {
	const on = https.request(target(request));
	on.on('upgrade', (answer, other, rest) => {
		const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
		socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`);
		socket.write(rest);
		other.write(head);
		socket.pipe(other).pipe(socket);
		socket.on('error', () => other.destroy());
		other.on('error', () => socket.destroy());
	});
	on.on('response', answer => { socket.end(`HTTP/1.1 ${answer.statusCode} No\r\ncontent-length: 0\r\n\r\n`); });
	on.on('error', () => socket.destroy());
	on.end();
});
server.listen(Number(port), address);
